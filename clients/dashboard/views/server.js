// server.js - what the server does now: queue, workers, memory, disk, requests, errors with their meaning.
import {curl, get, raw, request} from "../lib/api.js";
import {fill, h, refill} from "../lib/dom.js";
import {bytes, duration, number, plural, when} from "../lib/format.js";
import {curlBox, fail, head, notice, show, statusChip, tiles} from "../lib/page.js";
import {loadJobs, on, state} from "../lib/state.js";

const EVERY_MS = 3000;

/**
 * What the codes of problems mean, for those who see them in the table.
 * @type {Record<string, string>}
 */
const MEANINGS = {
    bad_request: "the request could not be read", conflict: "it contradicts the state of the thing, such as pausing a run that has ended", damaged: "a stored file does not have the bytes that were written", exists: "the name is taken",
    forbidden_host: "the Host header is not allowed (allow_host)", idempotency_mismatch: "an Idempotency-Key came back with another body", in_use: "something still uses it", insufficient_scope: "the key may not do that",
    internal: "a fault of the server", invalid: "values that do not fit; the answer names each place", method_not_allowed: "the path does not take that method", not_found: "there is no such thing", overloaded: "too much at once, or stopping; try again",
    precondition_failed: "it was changed in between (If-Match)", queue_full: "too many runs wait (queue_max)", range_not_satisfiable: "a download was already complete", storage: "the disk is full or fails", timeout: "the client was too slow", too_large: "the body is over a limit", unauthorized: "no key, or a wrong one",
    unsupported_media_type: "the Content-Type is not one that this path takes", wrong_keys: "too many wrong keys from one address",
};

/**
 * Prometheus' text format.
 * @param {string} text
 */
function parseMetrics(text) {
    /** @type {{name: string, labels: Record<string, string>, value: number}[]} */
    const samples = [];
    for (const line of text.split("\n")) {
        const match = /^([a-z_]+)(?:\{(.*)\})? (\S+)$/.exec(line);
        if (!match) continue;
        /** @type {Record<string, string>} */
        const labels = {};
        for (const [, key, value] of (match[2] ?? "").matchAll(/([a-z_]+)="((?:[^"\\]|\\.)*)"/g)) labels[key] = value;
        samples.push({name: match[1], labels, value: Number(match[3])});
    }
    return samples;
}

/** @param {import("../lib/page.js").Page} page */
export default async function server(page) {
    const figures = h("div");
    const working = h("div");
    const queue = h("div");
    const launchers = h("div");
    const routes = h("div");
    const errors = h("div");
    const settings = h("div");
    /** @type {Map<string, number> | null} */
    let before = null;
    let beforeAt = 0;

    async function refresh() {
        const [about, workers, text] = await Promise.all([get("/v1/server", page.signal), get("/v1/workers", page.signal), raw("GET", "/metrics", {signal: page.signal}).then((response) => response.text())]);
        const samples = parseMetrics(text);
        const one = (/** @type {string} */ name) => samples.find((sample) => sample.name === name)?.value;
        const counts = new Map(samples.filter((sample) => sample.name === "backpropd_http_request_duration_seconds_count").map((sample) => [`${sample.labels.method} ${sample.labels.route}`, sample.value]));
        const total = [...counts.values()].reduce((sum, value) => sum + value, 0);
        const past = before ? [...before.values()].reduce((sum, value) => sum + value, 0) : total;
        const rate = before ? (total - past) / ((performance.now() - beforeAt) / 1000) : null;
        fill(figures, tiles([
            {label: "Version", value: about.version, note: about.kernels}, {label: "Up", value: duration(about.uptime_seconds)}, {label: "Workers", value: `${about.workers.running}`, note: `of ${about.workers.slots} busy`},
            {label: "Queue", value: number(about.jobs.queued)}, {label: "Requests", value: rate === null ? "…" : number(rate, 3), note: "per second"}, {label: "Connections", value: number(one("backpropd_connections")), note: `of ${number(one("backpropd_connections_limit"))}`},
            {label: "Event streams", value: number(about.streams)}, {label: "Memory", value: bytes(one("process_resident_memory_bytes") ?? one("backpropd_resident_memory_bytes"))}, {label: "Data", value: bytes(one("backpropd_data_dir_used_bytes"))}, {label: "Free disk", value: bytes(one("backpropd_data_dir_free_bytes"))},
        ]));
        const sums = new Map(samples.filter((sample) => sample.name === "backpropd_http_request_duration_seconds_sum").map((sample) => [`${sample.labels.method} ${sample.labels.route}`, sample.value]));
        const busiest = [...counts].filter(([, count]) => count > 0).sort((a, b) => b[1] - a[1]).slice(0, 12);
        fill(routes, busiest.length === 0 ? h("p", {class: "muted"}, "No request yet.") : h("div", {class: "scroll"}, h("table", null, h("thead", null, h("tr", null, ["Route", "Requests", "Mean", "99 % below"].map((name, i) => h("th", {scope: "col", class: i ? "number" : ""}, name)))),
            h("tbody", null, busiest.map(([key, count]) => h("tr", null, h("td", {class: "mono"}, key), h("td", {class: "number"}, number(count)), h("td", {class: "number"}, duration((sums.get(key) ?? 0) / count)), h("td", {class: "number"}, quantile(samples, key, count))))))));
        const problems = samples.filter((sample) => /problems?_total/.test(sample.name) && sample.value > 0).sort((a, b) => b.value - a.value);
        const failed = [...state.jobs.values()].filter((job) => job.status === "failed").sort((a, b) => ((a.finished_at ?? "") < (b.finished_at ?? "") ? 1 : -1)).slice(0, 5);
        fill(errors, problems.length + failed.length === 0 ? h("p", {class: "muted"}, "None since the start.") : [problems.length ? h("div", {class: "scroll"}, h("table", null, h("thead", null, h("tr", null, ["Code", "Count", "Meaning"].map((name) => h("th", {scope: "col"}, name)))), h("tbody", null, problems.map((sample) => h("tr", null, h("td", {class: "mono"}, sample.labels.code ?? ""), h("td", {class: "number"}, number(sample.value)), h("td", {class: "small"}, MEANINGS[sample.labels.code ?? ""] ?? "")))))) : null,
            failed.map((job) => h("p", {class: "small"}, h("a", {href: `#/runs/${job.id}`}, job.model || job.id), ` failed ${when(job.finished_at)}: `, job.error?.message ?? job.error?.detail ?? ""))]);
        fill(settings, h("div", {class: "scroll"}, h("table", null, h("caption", null, "Limits; each is a setting with a flag, a variable and a line in a file."), h("tbody", null, Object.entries(about.limits).map(([name, limit]) => h("tr", null, h("th", {scope: "row", class: "mono"}, name), h("td", {class: "number"}, /body_max|memory|upload_max/.test(name) ? bytes(/** @type {number} */ (limit)) : /timeout/.test(name) ? `${limit} s` : number(limit))))))), h("p", {class: "small muted", style: {"margin-top": "8px"}}, about.blas));
        if (workers.data.length > 1) drawLaunchers(workers.data);
        before = counts;
        beforeAt = performance.now();
    }

    /**
     * Where runs can be, when that is not this machine alone.
     * @param {any[]} workers
     */
    function drawLaunchers(workers) {
        refill(launchers, workers, () => [h("h3", null, "Launchers"), h("div", {class: "scroll"}, h("table", null, h("thead", null, h("tr", null, ["Name", "Command", "Busy", "Labels", "Memory", "Runs"].map((name, i) => h("th", {scope: "col", class: i === 2 || i === 4 ? "number" : ""}, name)))),
            h("tbody", null, workers.map((worker) => h("tr", null, h("th", {scope: "row"}, worker.name), h("td", {class: "mono"}, worker.command ?? "this machine"), h("td", {class: "number"}, `${worker.running} of ${worker.slots}`), h("td", null, worker.labels.join(", ")), h("td", {class: "number"}, worker.memory_mb ? bytes(worker.memory_mb * 1048576) : "–"),
                h("td", {class: "small"}, worker.jobs.map((/** @type {any} */ job) => h("div", null, h("a", {href: `#/runs/${job.id}`}, job.id.slice(-6)), ` ${job.host ? `on ${job.host}` : job.message ?? ""}`))))))))]);
    }

    /**
     * @param {ReturnType<typeof parseMetrics>} samples
     * @param {string} key
     * @param {number} count
     */
    function quantile(samples, key, count) {
        const bucket = samples.find((sample) => sample.name === "backpropd_http_request_duration_seconds_bucket" && `${sample.labels.method} ${sample.labels.route}` === key && sample.value >= 0.99 * count);
        return !bucket || bucket.labels.le === "+Inf" ? "over 10 s" : duration(Number(bucket.labels.le));
    }

    function waiting() {
        return [...state.jobs.values()].filter((job) => job.status === "queued").sort((a, b) => (a.queue_position ?? 1e9) - (b.queue_position ?? 1e9));
    }

    /**
     * Puts a run at another place of the queue. Runs of the same priority keep the order of their submission, so as many priorities change as the new order needs.
     * @param {any[]} jobs
     * @param {number} from
     * @param {number} to
     */
    async function move(jobs, from, to) {
        if (to < 0 || to >= jobs.length || from === to) return;
        const order = jobs.filter((_, i) => i !== from);
        order.splice(to, 0, jobs[from]);
        const priorities = order.map((job) => job.priority ?? 0);
        for (let i = order.length - 2; i >= 0; i--) {
            const late = priorities[i] === priorities[i + 1] && order[i].created_at > order[i + 1].created_at;
            if (priorities[i] < priorities[i + 1] || late) priorities[i] = Math.min(100, priorities[i + 1] + 1);
        }
        for (const [i, job] of order.entries()) if (priorities[i] !== (job.priority ?? 0)) await request("PATCH", `/v1/jobs/${job.id}`, {priority: priorities[i]});
        notice(`${jobs[from].model || jobs[from].id} is number ${to + 1} now.`);
        await loadJobs();
    }

    let dragged = -1;
    function drawQueue() {
        const running = [...state.jobs.values()].filter((job) => ["running", "pausing", "cancelling"].includes(job.status));
        const jobs = waiting();
        fill(working, running.map((job) => h("div", {class: "row", style: {"margin-bottom": "8px"}}, statusChip(job.status), h("a", {href: `#/runs/${job.id}`}, job.model || job.id), h("progress", {max: "1", value: job.progress?.fraction ?? 0, "aria-label": `Progress of ${job.model}`, style: {flex: "1 1 120px"}}), h("span", {class: "small muted"}, `${Math.round((job.progress?.fraction ?? 0) * 100)} %`))),
            running.length === 0 ? h("p", {class: "muted"}, "All workers are idle.") : null);
        refill(queue, jobs.map((job) => [job.id, job.priority]), () => (jobs.length ? [h("h3", null, `${plural(jobs.length, "run")} waiting`), h("ol", {class: "queue"}, jobs.slice(0, 50).map((job, i) => {
                const item = h("li", {draggable: "true", ondragstart: () => {
                    dragged = i;
                }, ondragover: (/** @type {Event} */ event) => {
                    event.preventDefault();
                    item.classList.add("over");
                }, ondragleave: () => item.classList.remove("over"), ondrop: (/** @type {Event} */ event) => {
                    event.preventDefault();
                    move(jobs, dragged, i).catch(fail);
                }}, h("span", {class: "grow"}, h("a", {href: `#/runs/${job.id}`}, job.model || job.id), h("span", {class: "small muted"}, ` priority ${job.priority ?? 0}, submitted ${when(job.created_at)}`)),
                h("button", {type: "button", class: "icon", "aria-label": `Move ${job.model || job.id} up`, disabled: i === 0, onclick: () => move(jobs, i, i - 1).catch(fail)}, "↑"),
                h("button", {type: "button", class: "icon", "aria-label": `Move ${job.model || job.id} down`, disabled: i === jobs.length - 1, onclick: () => move(jobs, i, i + 1).catch(fail)}, "↓"));
                return item;
            })), h("p", {class: "small muted"}, "Drag a run to change its place; its priority follows.")] : null));
    }

    const who = state.session;
    const keys = h("div");
    if (who?.scope === "admin") get("/v1/keys", page.signal).then((answer) => fill(keys, answer.data.length === 0 ? h("p", {class: "muted"}, "There is no key.") : h("div", {class: "scroll"}, h("table", null, h("thead", null, h("tr", null, ["Name", "Scope", "Made", "Expires", "Last used"].map((name) => h("th", {scope: "col"}, name)))),
        h("tbody", null, answer.data.map((/** @type {any} */ key) => h("tr", null, h("th", {scope: "row"}, key.name), h("td", null, key.scope), h("td", null, when(key.created_at)), h("td", null, key.expires_at ? when(key.expires_at) : "never"), h("td", null, key.last_used_at ? `${when(key.last_used_at)} from ${key.last_address ?? "–"}` : "never"))))))), fail);
    show(page.main, head(page, "Server", {about: who?.key_required ? `Signed in with the key ${who.name}, scope ${who.scope}.` : "No key is needed: the server listens on this machine only."}), figures,
        h("div", {class: "grid"}, h("section", {class: "card w6"}, h("h2", null, "Queue and workers"), working, queue, launchers), h("section", {class: "card w6"}, h("h2", null, "Errors and what they mean"), errors), h("section", {class: "card w8"}, h("h2", null, "Requests"), routes), h("section", {class: "card w4"}, h("h2", null, "Settings"), settings)),
        h("section", {class: "card"}, h("h2", null, "Keys"), keys, h("p", {class: "small"}, "Keys are made and revoked on the machine of the server, never over HTTP:"), h("pre", {tabindex: "0"}, "backpropd keys create --name NAME --scope read|predict|train|admin\nbackpropd keys list\nbackpropd keys revoke ID")),
        curlBox(() => [{label: "The server", text: curl("GET", "/v1/server")}, {label: "Its metrics", text: curl("GET", "/metrics")}]));
    drawQueue();
    on("jobs", drawQueue, page.signal);
    await refresh();
    const timer = setInterval(() => document.hidden || refresh().catch(() => {}), EVERY_MS);
    page.signal.addEventListener("abort", () => clearInterval(timer));
}
