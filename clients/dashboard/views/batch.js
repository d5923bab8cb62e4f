// batch.js - a job that does not train: predictions of a stored dataset, or an evaluation of many rows.
import {curl, get, post, raw, request} from "../lib/api.js";
import {fill, h, refill} from "../lib/dom.js";
import {evaluationReport} from "../lib/evaluation.js";
import {duration, elapsed, number, plural, value, when} from "../lib/format.js";
import {action, confirmDialog, curlBox, download, head, show, statusChip, tiles, warningBox} from "../lib/page.js";
import {keep, on} from "../lib/state.js";

const ENDED = ["succeeded", "failed", "cancelled"];

/**
 * @param {import("../lib/page.js").Page} page
 * @param {any} first the job
 */
export default function batch(page, first) {
    let job = first;
    const id = job.id;
    const tag = h("span");
    const actions = h("div", {class: "row"});
    const figures = h("div");
    const remarks = h("div", {role: "status"});
    const result = h("div");
    const bar = h("progress", {max: "1", value: 0, "aria-label": "Progress"});
    const predicts = job.kind === "predict";
    const act = (/** @type {string} */ verb) => async () => keep(await post(`/v1/jobs/${id}/${verb}`, undefined));

    function buttons() {
        const items = [];
        if (["queued", "running"].includes(job.status)) items.push(action("Pause", act("pause")));
        if (["paused", "pausing"].includes(job.status)) items.push(action("Resume", act("resume"), {class: "primary"}));
        if (!ENDED.includes(job.status)) items.push(action("Cancel", act("cancel"), {class: "danger"}));
        if (predicts && job.status === "succeeded") items.push(h("a", {class: "button primary", href: `/v1/batches/${id}/result`, download: `${job.model}-${job.dataset?.name}.${job.format ?? "csv"}`}, "Download the predictions"));
        if (predicts && job.status === "succeeded" && job.progress?.failed_rows) items.push(action("Failed rows", async () => download(`${id}-failures.csv`, await (await raw("GET", `/v1/batches/${id}/failures`)).blob())));
        if (ENDED.includes(job.status)) items.push(action("Delete", async () => {
            if (!(await confirmDialog("Delete this job with its result?", "Delete"))) return;
            await request("DELETE", `/v1/jobs/${id}`);
            location.hash = "#/runs";
        }, {class: "danger"}));
        return items;
    }

    let shown = false;
    async function draw() {
        const progress = job.progress ?? {};
        refill(tag, job.status, () => statusChip(job.status));
        refill(actions, [job.status, Boolean(job.progress?.failed_rows)], buttons);
        bar.hidden = ENDED.includes(job.status);
        bar.value = progress.fraction ?? 0;
        fill(figures, tiles([{label: "Rows", value: number(progress.rows), note: `of ${number(progress.rows_total)}`}, ...(progress.failed_rows === undefined ? [] : [{label: "Failed rows", value: number(progress.failed_rows)}]), ...(progress.rows_per_second ? [{label: "Speed", value: number(progress.rows_per_second, 3), note: "rows/s"}] : []),
            progress.eta_seconds && !ENDED.includes(job.status) ? {label: "Time left", value: duration(progress.eta_seconds)} : {label: "Time", value: duration(elapsed(job))}]));
        refill(remarks, [job.error, job.warnings], () => [job.error ? h("div", {class: "alert bad", role: "alert"}, job.error.message ?? value(job.error)) : null, warningBox(job.warnings)]);
        if (!predicts && job.status === "succeeded" && !shown) {
            shown = true;
            fill(result, evaluationReport(await get(`/v1/jobs/${id}/evaluation`, page.signal), null));
        }
    }

    show(page.main, head(page, predicts ? `Predictions of ${job.dataset?.name}` : `Evaluation on ${job.dataset?.name}`, {crumb: [h("a", {href: "#/runs"}, "Runs"), ` / ${id}`], tag, actions,
        about: ["With ", h("a", {href: `#/models/${encodeURIComponent(job.model)}?version=${job.model_version}`}, `${job.model} version ${job.model_version}`), `, ${plural(job.progress?.rows_total ?? 0, "row")}, submitted ${when(job.created_at)}`]}), bar, figures, remarks, result,
    curlBox(() => [{label: "This job", text: curl("GET", `/v1/jobs/${id}`)}, ...(predicts ? [{label: "Its predictions", text: curl("GET", `/v1/batches/${id}/result`)}] : [{label: "Its result", text: curl("GET", `/v1/jobs/${id}/evaluation`)}])]));
    on(`job:${id}`, (now) => {
        job = {...job, ...now};
        draw().catch(() => {});
    }, page.signal);
    return draw();
}
