// run.js - one run, live: curves, figures, the health of its layers, warnings in words, its log, and what one can do with it.
import {curl, get, list, post, request} from "../lib/api.js";
import {chartControls, lineChart} from "../lib/charts.js";
import {fill, h, refill, select} from "../lib/dom.js";
import {bytes, duration, elapsed, number, value, when} from "../lib/format.js";
import {judge, networkPicture} from "../lib/network.js";
import {action, alertBox, confirmDialog, curlBox, fail, head, notice, show, statusChip, tiles, warningBox} from "../lib/page.js";
import {history} from "../lib/points.js";
import {keep, on} from "../lib/state.js";
import batch from "./batch.js";

const HEALTH_EVENTS = 2000; // the first epochs of a long run; what comes later is added live
const NETWORK_MS = 400; // between two pictures of the network
const ENDED = ["succeeded", "failed", "cancelled"];

/** @param {import("../lib/page.js").Page} page */
export default async function run(page) {
    const id = page.params[0];
    let job = await get(`/v1/jobs/${id}`, page.signal);
    if (job.kind && job.kind !== "train") return batch(page, job);
    const figures = h("div");
    const actions = h("div", {class: "row"});
    const tag = h("span");
    const remarks = h("div", {role: "status"});
    const bar = h("progress", {max: "1", value: 0, "aria-label": "Progress of the training"});
    const network = h("div");
    const logPlace = h("div", {class: "log", tabindex: "0", role: "region", "aria-label": "Log"});
    const chart = lineChart({label: `Loss and metrics of the run over the epochs`});
    const picks = h("div", {class: "row small"});
    /** @type {Set<string>} */
    const hidden = new Set();
    /** @type {Awaited<ReturnType<typeof history>> | null} */
    let points = null;
    let known = "";

    const controls = chartControls(() => draw());

    function draw() {
        if (!points) return;
        const names = [...points.metrics.keys()];
        if (names.join() !== known) {
            known = names.join();
            const first = names.length > 12 ? /^val_loss/ : /loss/; // an ensemble has many curves
            if (hidden.size === 0) names.filter((name) => !first.test(name) && names.some((other) => first.test(other))).forEach((name) => hidden.add(name));
            fill(picks, h("span", {class: "muted"}, "Show"), names.map((name) => h("label", null, h("input", {type: "checkbox", checked: !hidden.has(name), onchange: (/** @type {any} */ event) => {
                if (event.target.checked) hidden.delete(name);
                else hidden.add(name);
                draw();
            }}), name)));
        }
        const shown = names.filter((name) => !hidden.has(name));
        chart.draw(shown.map((name) => ({name, points: /** @type {Map<number, number>} */ (points?.metrics.get(name)), color: names.indexOf(name)})), {...controls.view, mark: job.best && !job.cross_validation ? {x: job.best.epoch, text: `best: epoch ${job.best.epoch}`} : null});
        drawNetwork();
    }

    const healthChart = lineChart({label: "Health of the layers over the epochs"});
    const healthKind = select([{value: "gradient_norm", label: "norm of the gradient"}, {value: "ratio", label: "size of an update, relative to the weights"}, {value: "weight_norm", label: "norm of the weights"}, {value: "dead", label: "share of dead units"}, {value: "saturated", label: "share of saturated units"}, {value: "spread", label: "spread of the outputs"}], "gradient_norm", {"aria-label": "What is shown of each layer", onchange: () => drawHealth()});
    /** @type {Map<number, any[]>} */
    const healthByEpoch = new Map();
    let healthQueued = false;
    async function loadHealth() {
        const events = await list(`/v1/jobs/${id}/events?type=metrics`, HEALTH_EVENTS);
        for (const event of events) if (event.data.layers) healthByEpoch.set(event.data.epoch, event.data.layers);
        drawHealth();
    }
    function drawHealth() {
        /** @type {Map<string, Map<number, number>>} */
        const byLayer = new Map();
        healthByEpoch.forEach((layers, epoch) => layers.forEach((/** @type {any} */ one) => {
            if (typeof one[healthKind.value] !== "number") return;
            if (!byLayer.has(one.layer)) byLayer.set(one.layer, new Map());
            byLayer.get(one.layer)?.set(epoch, one[healthKind.value]);
        }));
        healthCard.hidden = healthByEpoch.size === 0;
        healthChart.draw([...byLayer].map(([name, values]) => ({name, points: values})), {log: ["gradient_norm", "ratio"].includes(healthKind.value), smoothing: controls.view.smoothing});
    }
    const healthCard = h("section", {class: "card", hidden: true}, h("div", {class: "row", style: {"justify-content": "space-between"}}, h("h2", null, "Layers over the epochs"), healthKind), healthChart.element);

    let networkAt = 0;
    let networkLater = 0;
    function drawNetwork() {
        if (!job.layers?.length || networkLater) return;
        const wait = networkAt + NETWORK_MS - Date.now();
        if (wait > 0) { // too early: once, when it is time
            networkLater = window.setTimeout(() => {
                networkLater = 0;
                drawNetwork();
            }, wait);
            return;
        }
        networkAt = Date.now();
        const health = points?.health() ?? [];
        const bad = health.map((one) => [one, judge(one)]).filter(([, verdict]) => verdict[0] !== "good");
        fill(network, networkPicture(job.layers, health), health.length ? h("p", {class: "small muted"}, "∇: norm of the gradient, Δ/w: size of an update relative to the weights. ", bad.length ? "" : "All layers learn.") : null,
            bad.map(([one, verdict]) => h("p", {class: "small"}, h("strong", null, one.layer), `: ${verdict[1]}`)));
    }

    function drawJob() {
        const progress = job.progress ?? {};
        const running = !ENDED.includes(job.status);
        refill(tag, job.status, () => statusChip(job.status));
        bar.hidden = !running;
        bar.value = progress.fraction ?? 0;
        const metric = job.best?.metric;
        fill(figures, tiles([
            {label: "Epoch", value: number(progress.epoch), note: `of ${number(progress.epochs)}`},
            {label: "Loss", value: number(job.metrics?.loss), note: job.loss_unit ?? ""},
            ...(job.metrics?.val_loss === undefined ? [] : [{label: "Loss, validation", value: number(job.metrics.val_loss)}]),
            ...Object.entries(job.metrics ?? {}).filter(([name, v]) => !/loss|layers|epoch|fold/.test(name) && typeof v === "number" && (name.startsWith("val_") || job.metrics[`val_${name}`] === undefined)).slice(0, 3).map(([name, v]) => ({label: name.replace("val_", "").replaceAll("_", " ") + (name.startsWith("val_") ? ", validation" : ""), value: number(v)})),
            ...(job.best ? [{label: "Best epoch", value: number(job.best.epoch), note: `${metric} ${number(job.best.value)}`}] : []),
            running && progress.eta_seconds !== null && progress.eta_seconds !== undefined ? {label: "Time left", value: duration(progress.eta_seconds)} : {label: "Time", value: duration(running ? elapsed(job) : job.training_seconds ?? elapsed(job))},
            ...(progress.samples_per_second ? [{label: "Speed", value: number(progress.samples_per_second, 3), note: "rows/s"}] : []),
            ...(job.parameters ? [{label: "Parameters", value: number(job.parameters)}] : []),
        ]));
        refill(actions, [job.status, job.model_version], buttons);
        refill(remarks, [job.status, job.error, job.warnings, job.stop_reason, job.queue_position, job.model_version, job.publication, job.worker], () => [job.error ? h("div", {class: "alert bad", role: "alert"}, h("strong", null, "It failed. "), job.error.message ?? job.error.detail ?? value(job.error)) : null, warningBox(job.warnings),
            job.stopped_early ? h("div", {class: "alert"}, job.stop_reason === "early_stopping" ? `Stopped early: ${metric ?? "val_loss"} had not improved for ${job.options?.early_stopping?.patience ?? "some"} epochs. The version has the weights of epoch ${job.best?.epoch ?? "–"}.` : `Stopped early: ${String(job.stop_reason).replaceAll("_", " ")}.`) : null,
            job.worker?.state === "waiting_for_launcher" && !ENDED.includes(job.status) ? h("div", {class: "alert"}, `Waits for the launcher ${job.worker.launcher}: ${job.worker.message ?? "it has not started the job yet"}.`) : null,
            job.status === "running" && job.worker?.host ? h("p", {class: "small muted"}, `Runs on ${job.worker.host}, by the launcher ${job.worker.launcher}.`) : null,
            job.status === "queued" && job.queue_position && job.worker?.state !== "waiting_for_launcher" ? h("div", {class: "alert"}, job.queue_position === 1 ? "Next in the queue." : `Number ${job.queue_position} in the queue.`) : null,
            job.model_version ? h("div", {class: "alert good"}, "Stored as ", h("a", {href: `#/models/${encodeURIComponent(job.model)}?version=${job.model_version}`}, `${job.model} version ${job.model_version}`), job.publication ? (job.publication.published ? ", which answers predictions now. " : `, not published: ${job.publication.reason}. `) : ". ", h("a", {href: `#/models/${encodeURIComponent(job.model)}/try?version=${job.model_version}`}, "Try it")) : null]);
        drawNetwork();
    }

    function buttons() {
        const act = (/** @type {string} */ verb) => async () => keep(await post(`/v1/jobs/${id}/${verb}`, undefined));
        const items = [];
        if (["queued", "running"].includes(job.status)) items.push(action("Pause", act("pause")));
        if (["paused", "pausing"].includes(job.status)) items.push(action("Resume", act("resume"), {class: "primary"}));
        if (!ENDED.includes(job.status)) items.push(action("Cancel", act("cancel"), {class: "danger"}));
        if (job.status === "succeeded") items.push(h("a", {class: "button primary", href: `#/models/${encodeURIComponent(job.model)}/try?version=${job.model_version}`}, "Try it"));
        if (job.status === "succeeded" && !job.ensemble) items.push(h("a", {class: "button", href: `#/inside/${encodeURIComponent(job.model)}?version=${job.model_version}`}, "Look inside"));
        items.push(h("a", {class: "button", href: `#/train?job=${id}`}, "Train again with changes"));
        if (ENDED.includes(job.status)) items.push(action("Delete", async () => {
            if (!(await confirmDialog("Delete this run with its history and its log? The version of its model stays.", "Delete"))) return;
            await request("DELETE", `/v1/jobs/${id}`);
            notice("The run is deleted.");
            location.hash = "#/runs";
        }, {class: "danger"}));
        return items;
    }

    /**
     * What the process wrote, with its times; a line without one, of another program, has that of the line before.
     * @param {any} attempt
     */
    function timed(attempt) {
        let at = attempt.started_at;
        return attempt.lines.map((/** @type {string} */ line) => {
            const match = /^(\d{4}-\d\d-\d\dT[\d:.]+Z) (.*)$/s.exec(line);
            if (match) at = match[1];
            return {at, text: match ? match[2] : line};
        });
    }

    const used = (/** @type {any} */ attempt) => (attempt.user_seconds === null || attempt.system_seconds === null ? "" : ` (${duration(attempt.user_seconds + attempt.system_seconds)} of processor time, ${bytes(attempt.peak_memory_bytes)})`);

    async function drawLog() {
        try {
            const [events, log] = await Promise.all([list(`/v1/jobs/${id}/events?type=log`, 200), get(`/v1/jobs/${id}/log`, page.signal)]);
            const lines = [...events.map((event) => ({at: event.created_at, text: event.message ?? value(event.data)})), ...log.attempts.flatMap((/** @type {any} */ attempt) => [
                {at: attempt.started_at, text: `process ${attempt.attempt} started`}, ...timed(attempt),
                ...(attempt.ended_at ? [{at: attempt.ended_at, text: `process ${attempt.attempt} ended: ${attempt.reason}${attempt.message ? `, ${attempt.message}` : ""}${used(attempt)}`}] : [])])].sort((a, b) => Number(a.at > b.at) - Number(a.at < b.at));
            fill(logPlace, lines.length ? h("ul", null, lines.map((line) => h("li", null, h("span", {class: "muted small mono"}, new Date(line.at).toLocaleTimeString()), " ", line.text))) : h("p", {class: "muted"}, "Nothing yet."));
        } catch (error) {
            fill(logPlace, alertBox(error));
        }
    }

    show(page.main, head(page, job.model || id, {crumb: [h("a", {href: "#/runs"}, "Runs"), ` / ${id}`], tag, about: ["Predicts ", h("strong", null, Array.isArray(job.target) ? job.target.join(", ") : value(job.target)), " from ", h("a", {href: `#/data/${encodeURIComponent(`${job.dataset.name}@${job.dataset.version}`)}`}, job.dataset.name), `, submitted ${when(job.created_at)}`], actions}),
        bar, figures, remarks,
        h("section", {class: "card"}, h("div", {class: "row", style: {"justify-content": "space-between", "margin-bottom": "8px"}}, h("h2", {style: {margin: "0"}}, "Curves"), h("div", {class: "row"}, controls.element, h("button", {type: "button", onclick: () => chart.resetZoom()}, "Whole run"))), picks, chart.element, h("p", {class: "small muted"}, "Drag across the curve to zoom.")),
        healthCard,
        h("div", {class: "grid"}, h("section", {class: "card w6"}, h("h2", null, job.layers?.length ? "Network and its health" : "Networks"), network, job.ensemble ? h("details", null, h("summary", null, "Families of networks as JSON"), h("pre", {tabindex: "0"}, JSON.stringify(job.ensemble, null, 2))) : null), h("section", {class: "card w6"}, h("h2", null, "Log"), logPlace, h("h2", {style: {"margin-top": "16px"}}, "Settings"), h("details", null, h("summary", null, "All options in force"), h("pre", {tabindex: "0"}, JSON.stringify(job.options, null, 2))))),
        curlBox(() => [{label: "This run", text: curl("GET", `/v1/jobs/${id}`)}, {label: "Its history", text: curl("GET", `/v1/jobs/${id}/metrics`)}, {label: "Follow it live", text: curl("GET", `/v1/jobs/${id}/events`, undefined, ["Accept: text/event-stream"]).replace("curl", "curl -N")}, {label: "Cancel it", text: curl("POST", `/v1/jobs/${id}/cancel`)}]));
    drawJob();
    page.signal.addEventListener("abort", () => {
        chart.destroy();
        healthChart.destroy();
        clearTimeout(networkLater);
    });
    on(`points:${id}`, (point) => {
        if (!point.layers) return;
        healthByEpoch.set(point.epoch, point.layers);
        if (!healthQueued) requestAnimationFrame(() => {
            healthQueued = false;
            drawHealth();
        });
        healthQueued = true;
    }, page.signal);
    let status = job.status;
    on(`job:${id}`, (now) => {
        job = {...job, ...now};
        drawJob();
        if (job.status === status) return;
        status = job.status;
        drawLog();
        draw();
    }, page.signal);
    on(`log:${id}`, () => drawLog(), page.signal);
    await drawLog();
    try {
        points = await history(id, page.signal, () => draw());
    } catch (error) {
        fail(error);
    }
    draw();
    loadHealth().catch(fail);
    keep(await get(`/v1/jobs/${id}`, page.signal));
}
