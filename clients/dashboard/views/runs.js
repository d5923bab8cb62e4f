// runs.js - all runs; two or more can be picked and compared.
import {curl} from "../lib/api.js";
import {fill, h, select} from "../lib/dom.js";
import {duration, elapsed, number, when} from "../lib/format.js";
import {curlBox, head, show, statusChip} from "../lib/page.js";
import {loadJobs, on, state} from "../lib/state.js";

const SHOWN = 200;

/** @param {import("../lib/page.js").Page} page */
export default async function runs(page) {
    if (!state.jobsLoaded) await loadJobs();
    /** @type {Set<string>} */
    const picked = new Set();
    const body = h("tbody");
    const note = h("p", {class: "small muted"});
    const compare = h("button", {type: "button", class: "primary", disabled: true, onclick: () => {
        location.hash = `#/compare?jobs=${[...picked].join(",")}`;
    }}, "Compare");
    const status = select([{value: "", label: "every status"}, ...["queued", "running", "paused", "succeeded", "failed", "cancelled"].map((value) => ({value}))], "", {"aria-label": "Status", onchange: () => draw()});
    const search = h("input", {type: "search", placeholder: "Model, data, id", "aria-label": "Search", oninput: () => draw()});

    function draw() {
        const words = search.value.trim().toLowerCase();
        const jobs = [...state.jobs.values()].filter((job) => (!status.value || job.status === status.value) && (!words || `${job.model} ${job.dataset?.name} ${job.id}`.toLowerCase().includes(words))).sort((a, b) => (a.created_at < b.created_at ? 1 : -1));
        note.textContent = jobs.length > SHOWN ? `The newest ${SHOWN} of ${number(jobs.length)}.` : "";
        fill(body, jobs.slice(0, SHOWN).map((job) => h("tr", {class: "link-row"},
            h("td", null, h("input", {type: "checkbox", "aria-label": `Pick the run of ${job.model}, ${job.id}`, checked: picked.has(job.id), onchange: (/** @type {any} */ event) => {
                if (event.target.checked) picked.add(job.id);
                else picked.delete(job.id);
                compare.disabled = picked.size < 2;
                compare.textContent = picked.size < 2 ? "Compare" : `Compare ${picked.size}`;
            }})),
            h("td", null, h("a", {href: `#/runs/${job.id}`}, job.model || job.id), job.kind && job.kind !== "train" ? h("span", {class: "small muted"}, ` ${job.kind}`) : null), h("td", null, statusChip(job.status), job.status === "running" && job.progress ? h("span", {class: "small muted"}, ` ${Math.round((job.progress.fraction ?? 0) * 100)} %`) : null),
            h("td", null, job.dataset?.name ?? ""), h("td", {class: "number"}, number(job.metrics?.val_loss ?? job.metrics?.loss)), h("td", {class: "number"}, score(job)), h("td", {class: "number"}, duration(elapsed(/** @type {any} */ (job)))), h("td", null, when(job.created_at)))));
        if (jobs.length === 0) fill(body, h("tr", null, h("td", {colspan: "8"}, h("div", {class: "empty"}, state.jobs.size ? "No run fits." : ["No run yet. ", h("a", {href: "#/train"}, "Train a network")]))));
    }
    show(page.main, head(page, "Runs", {about: "Pick two or more to compare them.", actions: [compare, h("a", {class: "button", href: "#/sweeps"}, "Sweeps"), h("a", {class: "button", href: "#/train"}, "Train")]}), h("section", {class: "card"}, h("div", {class: "row", style: {"margin-bottom": "10px"}}, search, status), h("div", {class: "scroll"}, h("table", null,
        h("thead", null, h("tr", null, [["Pick", ""], ["Run", ""], ["Status", ""], ["Data", ""], ["Loss", "number"], ["Score", "number"], ["Time", "number"], ["Submitted", ""]].map(([name, kind]) => h("th", {scope: "col", class: kind}, name)))), body)), note),
    curlBox(() => [{label: "List the runs", text: curl("GET", `/v1/jobs${status.value ? `?status=${status.value}` : ""}`)}]));
    draw();
    let queued = false;
    on("jobs", () => {
        if (!queued) requestAnimationFrame(() => {
            queued = false;
            if (!body.contains(document.activeElement)) draw();
        });
        queued = true;
    }, page.signal);
}

/**
 * The metric that people ask for first.
 * @param {any} job
 */
function score(job) {
    const metrics = job.metrics ?? {};
    for (const name of ["val_accuracy", "val_r2", "val_mae", "accuracy", "r2", "mae"]) if (typeof metrics[name] === "number") return `${name.replace("val_", "")} ${number(metrics[name])}`;
    return "–";
}
