// sweep.js - one sweep: its trials as lines through parallel axes, one for each setting, and as a table.
import {curl, get, post, raw, request} from "../lib/api.js";
import {fill, h, picture, refill, s} from "../lib/dom.js";
import {duration, number, value, when} from "../lib/format.js";
import {action, confirmDialog, curlBox, download, head, show, statusChip, tiles} from "../lib/page.js";
import {soon} from "../lib/state.js";

const COMPARED_MAX = 12;

/** @typedef {{number: number, job: string | null, status: string, parameters: Record<string, any>, value: number | null, epochs: number, stopped: string | null, training_seconds: number, error: any}} Trial */

/**
 * Where a value stands on its axis, from 0 to 1.
 * @param {any} axis of the space
 * @param {any[]} all values of the trials
 */
function scaleOf(axis, all) {
    const numbers = all.filter((one) => typeof one === "number");
    if (numbers.length !== all.length || axis?.choice) {
        const names = [...new Set((axis?.choice ?? all).map((/** @type {any} */ one) => value(one)))];
        return {place: (/** @type {any} */ one) => (names.length < 2 ? 0.5 : names.indexOf(value(one)) / (names.length - 1)), ticks: names.map((name, i) => ({text: String(name), at: names.length < 2 ? 0.5 : i / (names.length - 1)}))};
    }
    const log = Boolean(axis?.log_range) && Math.min(...numbers) > 0;
    const map = log ? Math.log : (/** @type {number} */ x) => x;
    const low = Math.min(...numbers);
    const high = Math.max(...numbers);
    const place = (/** @type {number} */ x) => (high === low ? 0.5 : (map(x) - map(low)) / (map(high) - map(low)));
    const middle = log ? Math.exp((Math.log(low) + Math.log(high)) / 2) : (low + high) / 2;
    return {place, ticks: high === low ? [{text: number(low, 3), at: 0.5}] : [low, middle, high].map((x) => ({text: number(x, 3), at: place(x)}))};
}

/**
 * @param {any} sweep
 * @param {Trial[]} trials
 * @param {(trial: Trial) => void} pick
 */
function parallel(sweep, trials, pick) {
    const known = trials.filter((trial) => typeof trial.value === "number");
    if (known.length === 0) return h("p", {class: "muted"}, "No trial has a value yet.");
    const names = Object.keys(sweep.space);
    const values = known.map((trial) => /** @type {number} */ (trial.value));
    const order = [...values].sort((a, b) => (sweep.goal === "maximize" ? b - a : a - b));
    const axes = [...names.map((name) => ({name, scale: scaleOf(sweep.space[name], known.map((trial) => trial.parameters[name])), of: (/** @type {Trial} */ trial) => trial.parameters[name]})),
        {name: sweep.metric, scale: scaleOf(values.every((v) => v > 0) ? {log_range: true} : {}, values), of: (/** @type {Trial} */ trial) => trial.value}];
    const gap = Math.max(130, 1000 / axes.length);
    const width = gap * axes.length;
    const height = 340;
    const x = (/** @type {number} */ i) => gap * (i + 0.5);
    const y = (/** @type {number} */ share) => height - 30 - share * (height - 80);
    const words = `Trials as lines through ${axes.map((axis) => axis.name).join(", ")}. The best: ${number(order[0])}.`;
    const drawing = picture(width, height, words,
        [...known].sort((a, b) => order.indexOf(/** @type {number} */ (b.value)) - order.indexOf(/** @type {number} */ (a.value))).map((trial) => {
            const rank = order.indexOf(/** @type {number} */ (trial.value)) / Math.max(1, order.length - 1);
            const best = rank === 0;
            return s("path", {class: "weight", d: axes.map((axis, i) => `${i ? "L" : "M"}${x(i).toFixed(1)} ${y(axis.scale.place(axis.of(trial))).toFixed(1)}`).join(""), stroke: best ? "var(--good)" : "var(--s0)", "stroke-width": best ? 3.5 : 1.6, "stroke-opacity": best ? 1 : (0.75 - 0.6 * rank).toFixed(2),
                onclick: () => pick(trial)}, s("title", null, `Trial ${trial.number}: ${sweep.metric} ${number(trial.value)}`));
        }),
        axes.map((axis, i) => [s("line", {x1: x(i), x2: x(i), y1: y(0), y2: y(1), stroke: "var(--soft)"}), s("text", {x: x(i), y: 20, "text-anchor": "middle", "font-weight": "600"}, axis.name.split(".").slice(-1)[0]), axis.name.includes(".") ? s("text", {x: x(i), y: 36, "text-anchor": "middle"}, axis.name.split(".").slice(0, -1).join(".").slice(0, 24)) : null,
            axis.scale.ticks.map((tick) => s("text", {x: x(i) + 6, y: y(tick.at) + 4}, tick.text.slice(0, 14)))]));
    drawing.setAttribute("role", "img");
    drawing.style.minWidth = `${Math.min(width, 900)}px`;
    return h("div", {class: "scroll"}, drawing);
}

/** @param {import("../lib/page.js").Page} page */
export default async function sweep(page) {
    const id = page.params[0];
    const path = `/v1/sweeps/${id}`;
    let about = await get(path, page.signal);
    const figures = h("div");
    const lines = h("div");
    const table = h("div");
    const tag = h("span");
    const buttons = h("div", {class: "row"});
    const bar = h("progress", {max: "1", value: 0, "aria-label": "Progress of the sweep"});

    const ended = () => ["succeeded", "failed", "cancelled"].includes(about.status);

    async function draw() {
        const [now, answer] = await Promise.all([get(path, page.signal), get(`${path}/trials?sort=value`, page.signal)]);
        about = now;
        /** @type {Trial[]} */
        const trials = answer.data;
        const names = Object.keys(about.space);
        const done = about.trials.succeeded + about.trials.failed + about.trials.cancelled + about.trials.invalid;
        refill(tag, about.status, () => statusChip(about.status));
        bar.hidden = ended();
        bar.value = done / about.trials.total;
        fill(figures, tiles([{label: "Trials", value: `${number(done)}`, note: `of ${number(about.trials.total)}`}, {label: "Running", value: number(about.trials.running)}, {label: "Stopped early", value: number(about.trials.stopped)}, {label: `Best ${about.metric}`, value: number(about.best?.value), note: about.best ? `trial ${about.best.number}` : ""}, {label: "Method", value: about.method}]),
            about.error ? h("div", {class: "alert bad"}, about.error.message ?? value(about.error)) : null,
            about.publication ? h("div", {class: `alert ${about.publication.published ? "good" : ""}`}, about.publication.published ? "The best version answers predictions now: " : `The best version is not served (${about.publication.reason}): `, h("a", {href: `#/models/${encodeURIComponent(about.model)}?version=${about.publication.version}`}, `${about.model} version ${about.publication.version}`)) : null);
        refill(lines, trials, () => parallel(about, trials, (trial) => {
            if (trial.job) location.hash = `#/runs/${trial.job}`;
        }));
        refill(table, trials, () => h("div", {class: "scroll"}, h("table", null, h("caption", null, "Trials, the best first"), h("thead", null, h("tr", null, ["Trial", "Status", about.metric, ...names.map((name) => name.split(".").slice(-1)[0]), "Epochs", "Time"].map((name, i) => h("th", {scope: "col", class: i > 1 ? "number" : ""}, name)))),
            h("tbody", null, trials.map((trial) => h("tr", {class: trial.number === about.best_trial ? "best" : ""}, h("th", {scope: "row"}, trial.job ? h("a", {href: `#/runs/${trial.job}`}, String(trial.number)) : String(trial.number)), h("td", null, trial.stopped ? h("span", {class: "chip", title: trial.stopped}, "stopped") : statusChip(trial.status)), h("td", {class: "number"}, number(trial.value)),
                names.map((name) => h("td", {class: "number"}, value(trial.parameters[name]))), h("td", {class: "number"}, number(trial.epochs)), h("td", {class: "number"}, duration(trial.training_seconds))))))));
        const top = trials.filter((trial) => trial.job && trial.value !== null).slice(0, COMPARED_MAX).map((trial) => trial.job);
        refill(buttons, [about.status, top], () => [top.length > 1 ? h("a", {class: "button", href: `#/compare?jobs=${top.join(",")}`}, `Compare the best ${top.length}`) : null,
            action("Table (CSV)", async () => download(`${about.model}-trials.csv`, await (await raw("GET", `${path}/trials?sort=value`, {headers: {Accept: "text/csv"}})).blob())),
            ended() ? action("Delete", async () => {
                if (!(await confirmDialog("Delete this sweep with the runs of its trials?", "Delete"))) return;
                await request("DELETE", path);
                location.hash = "#/sweeps";
            }, {class: "danger"}) : action("Cancel", async () => {
                await post(`${path}/cancel`, undefined);
                await draw();
            }, {class: "danger"})]);
    }
    show(page.main, head(page, `Sweep of ${about.model}`, {crumb: [h("a", {href: "#/sweeps"}, "Sweeps"), ` / ${id}`], tag, about: ["Trained on ", h("a", {href: `#/data/${encodeURIComponent(`${about.dataset.name}@${about.dataset.version}`)}`}, about.dataset.name), `, submitted ${when(about.created_at)}`], actions: buttons}), bar, figures,
        h("section", {class: "card"}, h("h2", null, "Settings and what came of them"), lines, h("p", {class: "small muted"}, "Each line is a trial, the best one green; press one to open its run.")), h("section", {class: "card"}, h("h2", null, "Trials"), table),
        curlBox(() => [{label: "This sweep", text: curl("GET", path)}, {label: "Its trials, the best first", text: curl("GET", `${path}/trials?sort=value`, undefined, ["Accept: text/csv"])}, {label: "The same sweep again", text: curl("POST", "/v1/sweeps", {dataset: about.dataset.name, model: {name: about.model, ...about.definition}, job: about.job, space: about.space, method: about.method, ...(about.method === "grid" ? {} : {trials: about.trials.total}), metric: about.metric})}]));
    await draw();
    soon("jobs", () => (ended() ? undefined : draw()), 500, page.signal);
}
