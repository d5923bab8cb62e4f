// dataset.js - one dataset: columns with types, histograms and what is missing, association with a target, rows, versions, and what uses it.
import {curl, get, list, raw, request} from "../lib/api.js";
import {field, fill, h, select} from "../lib/dom.js";
import {bytes, number, plural, when} from "../lib/format.js";
import {action, alertBox, confirmDialog, curlBox, fail, head, notice, show, statusChip, warningBox} from "../lib/page.js";
import {bars, spark} from "../lib/plots.js";
import {previewTable, summary, TYPES} from "./data.js";

const PAGE = 25;

/** @param {import("../lib/page.js").Page} page */
export default async function dataset(page) {
    const name = page.params[0];
    const path = `/v1/datasets/${encodeURIComponent(name)}`;
    const plain = name.split("@")[0];
    const [data, versions] = await Promise.all([get(path, page.signal), list(`/v1/datasets/${encodeURIComponent(plain)}/versions`, 200)]);
    /** @type {string[]} */
    const columns = data.columns.map((/** @type {any} */ column) => column.name);

    async function changeType(/** @type {string} */ column, /** @type {string} */ type) {
        notice(`Reading ${plain} again with ${column} as ${type} …`);
        const csv = await (await raw("GET", `${path}/rows?format=csv`, {signal: page.signal})).blob();
        const types = data.columns.map((/** @type {any} */ c) => `${c.name}:${c.name === column ? type : c.type}`).join(",");
        const stored = await (await raw("POST", `/v1/datasets?name=${encodeURIComponent(plain)}&types=${encodeURIComponent(types)}`, {body: csv, headers: {"Content-Type": "text/csv"}})).json();
        notice(`Stored as version ${stored.version}. Version ${data.version} stays as it is.`);
        location.hash = `#/data/${encodeURIComponent(`${plain}@${stored.version}`)}`;
    }

    const columnTable = h("div");
    const associations = h("div");
    const target = select([{value: "", label: "none"}, ...columns.map((value) => ({value}))], page.query.get("target") ?? "", {onchange: () => statistics()});

    async function statistics() {
        try {
            const answer = await get(`${path}/statistics${target.value ? `?target=${encodeURIComponent(target.value)}` : ""}`, page.signal);
            showColumns(answer.columns);
            fill(associations, !target.value ? h("p", {class: "muted small"}, "Choose a target to see which columns say something about it.") : [
                bars((answer.associations ?? []).map((/** @type {any} */ one) => ({name: one.column, value: one.strength, text: number(one.strength, 2) + (one.leakage_suspect ? " !" : "")})), {max: 1}),
                (answer.associations ?? []).filter((/** @type {any} */ one) => one.leakage_suspect).map((/** @type {any} */ one) => h("div", {class: "alert warn"}, `${one.column} nearly gives ${target.value} away. Will you know it when you predict?`)),
                h("p", {class: "small muted"}, "0: no association, 1: one determines the other. Correlation, correlation ratio or Cramér's V, by the types.")]);
        } catch (error) {
            fill(associations, alertBox(error));
        }
    }

    /** @param {any[]} details */
    function showColumns(details) {
        fill(columnTable, h("div", {class: "scroll"}, h("table", null, h("thead", null, h("tr", null, ["Column", "Type", "Distribution", "Missing", "Values"].map((text) => h("th", {scope: "col"}, text)))),
            h("tbody", null, details.map((column) => h("tr", null, h("th", {scope: "row"}, column.name),
                h("td", null, select([...new Set([column.type, ...TYPES])], column.type, {"aria-label": `Type of ${column.name}; a change stores a new version`, onchange: (/** @type {any} */ event) => changeType(column.name, event.target.value).catch((error) => {
                    event.target.value = column.type;
                    fail(error);
                })})),
                h("td", null, column.histogram ? spark(column.histogram.counts, `Histogram of ${column.name}, ${number(column.min)} to ${number(column.max)}`) : column.categories?.length ? spark(column.categories.map((/** @type {any} */ c) => c.count), `Counts of ${column.name}`) : ""),
                h("td", null, column.missing ? h("span", {class: column.missing > data.rows / 2 ? "chip warn" : ""}, `${number(column.missing)} (${((100 * column.missing) / Math.max(1, data.rows)).toFixed(1)} %)`) : "0"),
                h("td", {class: "small"}, summary(column))))))));
    }

    const rows = h("div");
    let offset = 0;
    async function showRows() {
        const answer = await get(`${path}/rows?limit=${PAGE}&offset=${offset}`, page.signal);
        fill(rows, previewTable(answer.data, columns), h("div", {class: "row end small", style: {"margin-top": "8px"}}, `Rows ${number(offset + 1)} to ${number(offset + answer.data.length)} of ${number(data.rows)}`,
            h("button", {type: "button", disabled: offset === 0, onclick: () => {
                offset = Math.max(0, offset - PAGE);
                showRows().catch(fail);
            }}, "Previous"), h("button", {type: "button", disabled: !answer.has_more, onclick: () => {
                offset += PAGE;
                showRows().catch(fail);
            }}, "Next")));
    }

    const remove = async () => {
        if (!(await confirmDialog(`Delete ${plain} with all its versions? Models that were trained on it stay.`, "Delete"))) return;
        await request("DELETE", `/v1/datasets/${encodeURIComponent(plain)}`);
        notice(`${plain} is deleted.`);
        location.hash = "#/data";
    };
    show(page.main, head(page, plain, {crumb: h("a", {href: "#/data"}, "Data"), tag: h("span", {class: "chip"}, `version ${data.version}`), about: `${plural(data.rows, "row")}, ${plural(columns.length, "column")}, ${bytes(data.bytes)}, stored ${when(data.created_at)}`,
        actions: [h("a", {class: "button primary", href: `#/train?dataset=${encodeURIComponent(name)}${page.query.get("target") ? `&target=${encodeURIComponent(page.query.get("target") ?? "")}` : ""}`}, "Train on it"), h("a", {class: "button", href: `${path}/rows?format=csv`, download: `${plain}.csv`}, "Download CSV"), action("Delete", remove, {class: "danger"})]}),
    warningBox(data.warnings),
    h("section", {class: "card"}, h("h2", null, "Columns"), columnTable),
    h("div", {class: "grid"}, h("section", {class: "card w6"}, h("h2", null, "Association with a target"), field("Target", target), h("div", {style: {"margin-top": "12px"}}, associations)),
        h("section", {class: "card w6"}, h("h2", null, "Versions and what uses them"), h("div", {class: "scroll"}, h("table", null, h("thead", null, h("tr", null, ["Version", "Rows", "From", "Stored"].map((text) => h("th", {scope: "col"}, text)))),
            h("tbody", null, versions.map((version) => h("tr", null, h("td", null, h("a", {href: `#/data/${encodeURIComponent(`${plain}@${version.version}`)}`, "aria-current": version.version === data.version ? "true" : null}, `version ${version.version}`)), h("td", null, number(version.rows)),
                h("td", null, version.parent ? `${version.parent.name ?? plain}@${version.parent.version ?? version.parent}` : "upload"), h("td", null, when(version.created_at))))))),
        data.used_by?.versions?.length ? h("p", {class: "small"}, "Models: ", data.used_by.versions.map((/** @type {any} */ v, /** @type {number} */ i) => [i ? ", " : "", h("a", {href: `#/models/${encodeURIComponent(v.model)}`}, `${v.model} version ${v.version}`)])) : null,
        data.used_by?.jobs?.length ? h("p", {class: "small"}, "Runs: ", data.used_by.jobs.slice(0, 8).map((/** @type {any} */ job) => [h("a", {href: `#/runs/${job.id}`}, job.model), " ", statusChip(job.status), " "])) : h("p", {class: "small muted"}, "No run uses it."))),
    h("section", {class: "card"}, h("h2", null, "Rows"), rows),
    curlBox(() => [{label: "This dataset", text: curl("GET", path)}, {label: "Statistics", text: curl("GET", `${path}/statistics${target.value ? `?target=${encodeURIComponent(target.value)}` : ""}`)}, {label: "Rows", text: curl("GET", `${path}/rows?limit=${PAGE}&offset=${offset}`)}]));
    showColumns(data.columns);
    await Promise.all([statistics(), showRows()]);
}
