// data.js - the datasets, and uploading one: the first megabyte is inspected before anything is sent, and the type of each column can be changed.
import {curl, list, raw, upload} from "../lib/api.js";
import {field, fill, h, select, setFault} from "../lib/dom.js";
import {bytes, number, plural, when} from "../lib/format.js";
import {alertBox, curlBox, fail, head, notice, show, warningBox} from "../lib/page.js";

export const TYPES = ["numeric", "categorical", "boolean", "datetime", "text", "labels"];
const SAMPLE = 1 << 20;
/** @type {Record<string, string>} */
const MEDIA = {csv: "text/csv", tsv: "text/tab-separated-values", json: "application/json", jsonl: "application/x-ndjson", ndjson: "application/x-ndjson", npy: "application/x-npy", npz: "application/x-npz"};

/** @param {File} file */
function mediaType(file) {
    return MEDIA[file.name.replace(/\.gz$/, "").split(".").pop()?.toLowerCase() ?? ""] ?? "application/octet-stream";
}

/** @param {File} file */
const nameOf = (file) => file.name.replace(/\.gz$/, "").replace(/\.[^.]*$/, "").toLowerCase().replace(/[^a-z0-9_-]+/g, "-").replace(/^-+|-+$/g, "") || "data";

/**
 * @param {any[]} rows
 * @param {string[]} columns
 */
export function previewTable(rows, columns) {
    return h("div", {class: "scroll", role: "region", "aria-label": "Preview of the rows"}, h("table", null, h("thead", null, h("tr", null, columns.map((name) => h("th", {scope: "col", class: rows.some((row) => typeof row[name] === "number") ? "number" : ""}, name)))),
        h("tbody", null, rows.map((row) => h("tr", null, columns.map((name) => {
            const cell = row[name];
            return h("td", {class: typeof cell === "number" ? "number" : ""}, cell === null || cell === undefined ? h("span", {class: "muted"}, "missing") : typeof cell === "object" ? JSON.stringify(cell) : String(cell));
        }))))));
}

/**
 * @param {HTMLElement} place
 * @param {File} file
 * @param {() => void} closed
 */
async function prepare(place, file, closed) {
    /** @type {Record<string, string>} */
    const types = {};
    const name = h("input", {value: nameOf(file), required: true, autocomplete: "off"});
    const body = h("div");
    /** @type {any} what was found last */
    let answer = null;
    const query = () => Object.entries(types).map(([column, type]) => `${column}:${type}`).join(",");
    const address = () => `/v1/datasets?name=${encodeURIComponent(name.value)}${query() ? `&types=${encodeURIComponent(query())}` : ""}`;
    const packed = /\.gz$/.test(file.name);

    /** @param {string} [changed] the column whose type was changed just now */
    async function inspect(changed) {
        if (!changed) fill(body, h("p", {class: "muted"}, "Reading the first rows …"));
        try {
            const sample = file.size > SAMPLE ? file.slice(0, SAMPLE) : file;
            const response = await raw("POST", `/v1/datasets/inspect${query() ? `?types=${encodeURIComponent(query())}` : ""}`, {body: sample, headers: {"Content-Type": mediaType(file), ...(packed ? {"Content-Encoding": "gzip"} : {})}});
            answer = await response.json();
            found(answer);
        } catch (error) {
            if (!answer || !changed) return fill(body, alertBox(error));
            delete types[changed];
            found(answer, alertBox(error));
        }
        if (changed) /** @type {HTMLElement | null} */ (body.querySelector(`[aria-label=${JSON.stringify(`Type of ${changed}`)}]`))?.focus();
    }

    /**
     * @param {any} answer
     * @param {HTMLElement | null} [problem]
     */
    function found(answer, problem = null) {
        fill(body, problem, warningBox(answer.warnings),
            h("p", null, `${answer.format.toUpperCase()}, ${plural(answer.columns.length, "column")}. ${file.size > SAMPLE ? "Judged by the first megabyte." : plural(answer.rows, "row") + "."}`),
            h("div", {class: "scroll"}, h("table", null, h("caption", null, "Columns. A type can be changed before the upload."), h("thead", null, h("tr", null, ["Column", "Type", "Why", "Missing", "Values"].map((text) => h("th", {scope: "col"}, text)))),
                h("tbody", null, answer.columns.map((/** @type {any} */ column) => h("tr", null, h("th", {scope: "row"}, column.name),
                    h("td", null, select([...new Set([column.type, ...TYPES])], column.type, {"aria-label": `Type of ${column.name}`, onchange: (/** @type {any} */ event) => {
                        types[column.name] = event.target.value;
                        inspect(column.name);
                    }})),
                    h("td", {class: "small muted"}, answer.reasons?.[column.name] ?? "chosen by you"), h("td", {class: "number"}, number(column.missing)), h("td", {class: "small"}, summary(column))))))),
            answer.preview?.length ? [h("h3", null, "First rows"), previewTable(answer.preview.slice(0, 6), answer.columns.map((/** @type {any} */ column) => column.name))] : null);
    }

    const bar = h("progress", {max: "1", value: 0, "aria-label": "Upload"});
    const state = h("p", {class: "small muted", role: "status"});
    const progress = h("div", {hidden: true}, bar, state);
    const send = h("button", {class: "primary", type: "submit"}, "Upload");
    const cancel = h("button", {type: "button", onclick: () => closed()}, "Cancel");
    const form = h("form", {class: "card", onsubmit: async (/** @type {Event} */ event) => {
        event.preventDefault();
        setFault(name, "");
        send.disabled = true;
        progress.hidden = false;
        const sending = upload(address(), file, mediaType(file), (fraction) => {
            bar.value = fraction;
            state.textContent = fraction < 1 ? `${Math.round(fraction * 100)} % of ${bytes(file.size)} sent` : "The server reads and checks every row …";
        });
        cancel.onclick = () => sending.abort();
        try {
            const dataset = await sending.done;
            notice(`${dataset.name} is stored: ${plural(dataset.rows, "row")}.`);
            location.hash = `#/data/${encodeURIComponent(dataset.name)}`;
        } catch (error) {
            progress.hidden = true;
            send.disabled = false;
            cancel.onclick = () => closed();
            if (/is not a valid name/.test(/** @type {Error} */ (error).message)) setFault(name, /** @type {Error} */ (error).message);
            else fail(error);
        }
    }}, h("h2", null, `${file.name}, ${bytes(file.size)}`), h("div", {class: "fields"}, field("Name", name, "An existing name gets a new version.")), h("div", null, body), progress, h("div", {class: "row end"}, cancel, send),
    curlBox(() => [{label: "Upload this file", text: curl("POST", address(), {file: file.name, type: mediaType(file)})}]));
    fill(place, form);
    await inspect();
}

/** @param {any} column */
export function summary(column) {
    if (column.categories) return column.categories.slice(0, 4).map((/** @type {any} */ c) => `${c.value} (${number(c.count)})`).join(", ") + (column.categories_count > 4 ? ` and ${number(column.categories_count - 4)} more` : "");
    if (column.mean !== undefined && column.mean !== null) return `${number(column.min)} to ${number(column.max)}, mean ${number(column.mean)}`;
    if (column.min !== undefined && column.min !== null) return `${column.min} to ${column.max}`;
    return "";
}

/** @param {import("../lib/page.js").Page} page */
export default async function data(page) {
    const datasets = await list("/v1/datasets", 1000);
    const place = h("div");
    const choose = h("input", {type: "file", id: "file", "aria-label": "Choose a file", onchange: () => choose.files?.[0] && prepare(place, choose.files[0], closed).catch(fail)});
    const drop = h("div", {class: "drop"}, choose, h("p", null, h("strong", null, "Drop a file here"), " or ", h("label", {for: "file", class: "button"}, "Choose a file")), h("p", {class: "small muted", style: {margin: "0 auto"}}, "CSV, TSV, JSON, JSON lines, NPY, NPZ or IDX, also gzipped. Nothing is stored before you confirm."));
    const closed = () => {
        choose.value = "";
        fill(place, drop);
    };
    for (const type of ["dragenter", "dragover"]) drop.addEventListener(type, (event) => {
        event.preventDefault();
        drop.classList.add("over");
    });
    drop.addEventListener("dragleave", () => drop.classList.remove("over"));
    drop.addEventListener("drop", (event) => {
        event.preventDefault();
        drop.classList.remove("over");
        const file = event.dataTransfer?.files[0];
        if (file) prepare(place, file, closed).catch(fail);
    });
    fill(place, drop);
    show(page.main, head(page, "Data", {about: "Tables and arrays that models are trained on. Every upload under the same name is a new version."}), place,
        h("section", {class: "card", style: {"margin-top": "16px"}}, h("h2", null, "Datasets"), datasets.length === 0 ? h("p", {class: "muted"}, "None yet. ", h("a", {href: "#/"}, "Sample data"), " is on the start page.") : h("div", {class: "scroll"}, h("table", null,
            h("thead", null, h("tr", null, ["Name", "Version", "Rows", "Columns", "Size", "Stored", ""].map((text) => h("th", {scope: "col"}, text || h("span", {class: "muted"}, "Actions"))))),
            h("tbody", null, datasets.map((dataset) => h("tr", {class: "link-row"}, h("td", null, h("a", {href: `#/data/${encodeURIComponent(dataset.name)}`}, dataset.name)), h("td", null, dataset.version), h("td", null, number(dataset.rows)),
                h("td", null, dataset.columns?.length ?? "–"), h("td", null, bytes(dataset.bytes)), h("td", null, when(dataset.created_at)), h("td", null, h("a", {href: `#/train?dataset=${encodeURIComponent(dataset.name)}`}, "Train"))))))),
        ), curlBox(() => [{label: "List the datasets", text: curl("GET", "/v1/datasets")}]));
    if (page.query.has("upload")) choose.focus();
}
