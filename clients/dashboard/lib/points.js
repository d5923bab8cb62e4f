// points.js - the history of a run: what the server has kept, and what comes in live. Points are kept by epoch, so that a point which arrives twice, after
// a reconnect for example, is one point, and the history is read again whenever the connection was lost.
import {get} from "./api.js";
import {on} from "./state.js";

/**
 * @param {string} id of the job
 * @param {AbortSignal} signal
 * @param {() => void} changed
 */
export async function history(id, signal, changed) {
    /** @type {Map<string, Map<number, number>>} by metric, then by epoch */
    const metrics = new Map();
    /** @type {any[]} */
    let health = [];

    /** @param {any} point */
    function add(point) {
        const {epoch, fold, fold_epoch, family, repeat, layers, ...values} = point;
        const member = [family, repeat ? `repeat ${repeat}` : null, fold ? `fold ${fold}` : null].filter(Boolean).join(" ");
        if (layers) health = layers;
        for (const [name, value] of Object.entries(values)) {
            if (typeof value !== "number") continue;
            const series = member ? `${name}, ${member}` : name;
            if (!metrics.has(series)) metrics.set(series, new Map());
            metrics.get(series)?.set(fold_epoch ?? epoch, value);
        }
    }
    async function read() {
        const answer = await get(`/v1/jobs/${id}/metrics?max_points=20000`, signal);
        answer.data.forEach(add);
        health = answer.layers ?? health;
        changed();
    }
    on(`points:${id}`, (point) => {
        add(point);
        changed();
    }, signal);
    on("connection", (up) => {
        if (up) read().catch(() => {});
    }, signal);
    await read();
    return {metrics, health: () => health};
}
