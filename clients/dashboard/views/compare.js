// compare.js - runs side by side: curves overlaid, settings that differ highlighted, the picture and the numbers to take away.
import {curl, get} from "../lib/api.js";
import {chartControls, color, lineChart} from "../lib/charts.js";
import {debounce, field, fill, h, select} from "../lib/dom.js";
import {duration, number, value} from "../lib/format.js";
import {action, curlBox, download, fail, head, show, statusChip, warningBox} from "../lib/page.js";
import {history} from "../lib/points.js";
import {on} from "../lib/state.js";

/** @param {import("../lib/page.js").Page} page */
export default async function compare(page) {
    const ids = (page.query.get("jobs") ?? "").split(",").filter(Boolean);
    /** @type {any[]} */
    const jobs = await Promise.all(ids.map((id) => get(`/v1/jobs/${id}`, page.signal)));
    const names = jobs.map((job, i) => `${i + 1} ${job.model || job.id}`);
    const chart = lineChart({label: "Curves of the compared runs"});
    const controls = chartControls(() => draw());
    const metricPlace = h("div");
    /** @type {Awaited<ReturnType<typeof history>>[]} */
    const histories = [];
    let metric = page.query.get("metric") ?? "";

    function draw() {
        const all = [...new Set(histories.flatMap((one) => [...one.metrics.keys()]))];
        if (!metric || !all.includes(metric)) metric = all.find((name) => name === "val_loss") ?? all[0] ?? "loss";
        if (metricPlace.dataset.names !== all.join()) {
            metricPlace.dataset.names = all.join();
            const choice = select(all.map((one) => ({value: one})), metric, {onchange: () => {
                metric = choice.value;
                draw();
            }});
            fill(metricPlace, field("Metric", choice));
        }
        chart.draw(histories.map((one, i) => ({name: names[i], points: one.metrics.get(metric) ?? new Map(), color: i, dashed: i >= 8})), controls.view);
    }

    let all = false;
    const table = h("div");
    const address = () => `/v1/compare?jobs=${ids.join(",")}${all ? "&same=true" : ""}`;
    async function drawTable() {
        const answer = await get(address(), page.signal);
        const row = (/** @type {string} */ name, /** @type {any[]} */ cells) => h("tr", null, h("th", {scope: "row"}, name), cells);
        const settings = [["dataset", answer.jobs.map((/** @type {any} */ job) => `${job.dataset.name}@${job.dataset.version}`)], ["target", answer.jobs.map((/** @type {any} */ job) => value(job.target))]].map(([name, values]) => ({name, values, differs: new Set(values).size > 1}));
        fill(table, warningBox(answer.warnings), h("div", {class: "scroll", role: "region", "aria-label": "Settings and metrics"}, h("table", null, h("thead", null, h("tr", null, h("th", {scope: "col"}, "Run"), jobs.map((job, i) => h("th", {scope: "col"}, h("i", {class: "chip", style: {background: color(i), width: "14px", height: "4px", padding: "0"}}), " ", h("a", {href: `#/runs/${job.id}`}, names[i]))))),
            h("tbody", null, row("status", answer.jobs.map((/** @type {any} */ job) => h("td", null, statusChip(job.status)))), row("time", answer.jobs.map((/** @type {any} */ job) => h("td", null, duration(job.training_seconds)))), row("parameters", answer.jobs.map((/** @type {any} */ job) => h("td", null, number(job.parameters)))), row("epochs trained", answer.jobs.map((/** @type {any} */ job) => h("td", null, number(job.epochs)))),
                answer.metrics.map((/** @type {any} */ metric) => row(metric.name, metric.final.map((/** @type {any} */ one, /** @type {number} */ i) => h("td", {class: ids.length > 1 && metric.best_jobs.includes(ids[i]) ? "best" : ""}, number(one))))),
                [...settings.filter((one) => all || one.differs), ...answer.options, ...answer.definition].map((/** @type {any} */ one) => row(one.name, one.values.map((/** @type {any} */ v) => h("td", {class: one.differs ? "differs wrap" : "wrap"}, value(v)))))))),
        h("button", {type: "button", style: {"margin-top": "10px"}, onclick: () => {
            all = !all;
            drawTable().catch(fail);
        }}, all ? "Show only what differs" : "Show all settings"));
    }

    const csv = () => {
        const epochs = [...new Set(histories.flatMap((one) => [...(one.metrics.get(metric)?.keys() ?? [])]))].sort((a, b) => a - b);
        const quoted = (/** @type {string} */ text) => `"${text.replaceAll('"', '""')}"`;
        return [["epoch", ...names.map(quoted)].join(","), ...epochs.map((epoch) => [epoch, ...histories.map((one) => one.metrics.get(metric)?.get(epoch) ?? "")].join(","))].join("\n");
    };
    show(page.main, head(page, "Compare", {crumb: h("a", {href: "#/runs"}, "Runs"), about: ids.length < 2 ? "Pick two or more runs on the list of runs." : `${jobs.length} runs`}),
        h("section", {class: "card"}, h("div", {class: "row", style: {"justify-content": "space-between"}}, metricPlace, controls.element), chart.element,
            h("div", {class: "row end"}, h("button", {type: "button", onclick: () => chart.resetZoom()}, "Whole run"), action("Picture (PNG)", () => savePng(chart.canvas(), `${metric}.png`)), action("Picture (SVG)", () => download(`${metric}.svg`, curvesSvg(histories.map((one, i) => ({name: names[i], points: [...(one.metrics.get(metric) ?? new Map()).entries()].sort((a, b) => a[0] - b[0]), color: color(i)})), metric, controls.view.log), "image/svg+xml")), action("Numbers (CSV)", () => download(`${metric}.csv`, csv(), "text/csv")))),
        h("section", {class: "card"}, h("h2", null, "Settings and results"), table),
        curlBox(() => [{label: "This comparison", text: curl("GET", address())}, ...ids.map((id, i) => ({label: names[i], text: curl("GET", `/v1/jobs/${id}/metrics`)}))]));
    if (ids.length > 1) await drawTable();
    page.signal.addEventListener("abort", () => chart.destroy());
    for (const job of jobs) histories.push(await history(job.id, page.signal, () => histories.length === jobs.length && draw()));
    draw();
    const refresh = debounce(() => drawTable().catch(() => {}), 500);
    for (const job of jobs) on(`job:${job.id}`, refresh, page.signal);
}

/**
 * With the colour of the page behind it.
 * @param {HTMLCanvasElement | null} canvas
 * @param {string} name
 */
function savePng(canvas, name) {
    if (!canvas) return;
    const whole = /** @type {HTMLElement} */ (canvas.closest(".chart"));
    const out = document.createElement("canvas");
    out.width = canvas.width;
    out.height = canvas.height;
    const context = /** @type {CanvasRenderingContext2D} */ (out.getContext("2d"));
    context.fillStyle = getComputedStyle(document.documentElement).getPropertyValue("--card");
    context.fillRect(0, 0, out.width, out.height);
    context.drawImage(canvas, 0, 0);
    const scale = canvas.width / canvas.clientWidth;
    context.scale(scale, scale);
    context.fillStyle = getComputedStyle(document.documentElement).getPropertyValue("--text");
    context.font = "12px sans-serif";
    const origin = whole.getBoundingClientRect();
    for (const label of whole.querySelectorAll(".dygraph-axis-label")) {
        const box = label.getBoundingClientRect();
        context.fillText(label.textContent ?? "", box.left - origin.left, box.bottom - origin.top - 3);
    }
    out.toBlob((blob) => blob && download(name, blob));
}

/**
 * @param {{name: string, points: [number, number][], color: string}[]} curves
 * @param {string} metric
 * @param {boolean} log
 */
function curvesSvg(curves, metric, log) {
    const kept = curves.map((curve) => ({...curve, points: curve.points.filter((p) => !log || p[1] > 0).map((p) => /** @type {[number, number]} */ ([p[0], log ? Math.log10(p[1]) : p[1]]))}));
    const xs = kept.flatMap((curve) => curve.points.map((p) => p[0]));
    const ys = kept.flatMap((curve) => curve.points.map((p) => p[1]));
    const range = (/** @type {number[]} */ v) => v.reduce(([low, high], one) => [Math.min(low, one), Math.max(high, one)], [Infinity, -Infinity]);
    const [x0, x1] = range(xs);
    const [y0, y1] = range(ys);
    const px = (/** @type {number} */ x) => 60 + ((x - x0) / (x1 - x0 || 1)) * 720;
    const py = (/** @type {number} */ y) => 400 - ((y - y0) / (y1 - y0 || 1)) * 380;
    const escape = (/** @type {string} */ text) => text.replace(/[&<>"]/g, (c) => `&#${c.charCodeAt(0)};`);
    const label = (/** @type {number} */ y) => number(log ? 10 ** y : y, 3);
    return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 800 ${450 + kept.length * 18}" font-family="sans-serif" font-size="12"><rect width="100%" height="100%" fill="#fff"/><path d="M60 20V400H780" fill="none" stroke="#555"/>${[0, 0.25, 0.5, 0.75, 1].map((f) => `<text x="54" y="${py(y0 + f * (y1 - y0)) + 4}" text-anchor="end">${label(y0 + f * (y1 - y0))}</text><text x="${px(x0 + f * (x1 - x0))}" y="418" text-anchor="middle">${number(Math.round(x0 + f * (x1 - x0)))}</text>`).join("")}<text x="420" y="436" text-anchor="middle">epoch</text><text x="60" y="14">${escape(metric)}${log ? " (log scale)" : ""}</text>${kept.map((curve, i) => `<path fill="none" stroke-width="1.8" stroke="${curve.color}" d="${curve.points.map((p, k) => `${k ? "L" : "M"}${px(p[0]).toFixed(2)} ${py(p[1]).toFixed(2)}`).join("")}"/><text x="80" y="${458 + i * 18}">${escape(curve.name)}</text><path d="M60 ${454 + i * 18}h14" stroke="${curve.color}" stroke-width="3"/>`).join("")}</svg>`;
}
