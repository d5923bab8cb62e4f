// model.js - what the pages of a model share: its tabs, and which version is looked at.
import {get, list} from "./api.js";
import {h, select} from "./dom.js";

/**
 * @param {import("./page.js").Page} page
 */
export async function loadModel(page) {
    const name = page.params[0];
    const path = `/v1/models/${encodeURIComponent(name)}`;
    const [model, versions] = await Promise.all([get(path, page.signal), list(`${path}/versions`, 400)]);
    const wanted = Number(page.query.get("version") ?? model.aliases?.default ?? versions[0]?.version ?? 0);
    const version = versions.find((one) => one.version === wanted) ?? versions[0] ?? null;
    return {name, path, model, versions, version};
}

/**
 * @param {string} name
 * @param {string} current
 * @param {number | undefined} version
 */
export function modelTabs(name, current, version) {
    const base = `#/models/${encodeURIComponent(name)}`;
    const suffix = version ? `?version=${version}` : "";
    return h("nav", {class: "tabs", "aria-label": "Views of the model"}, [["Versions", base], ["Try it", `${base}/try${suffix}`], ["Evaluate", `${base}/evaluate${suffix}`], ["Explain", `${base}/explain${suffix}`], ["Inside", `#/inside/${encodeURIComponent(name)}${suffix}`]].map(([title, href]) => h("a", {href, "aria-current": title === current ? "page" : null}, title)));
}

/**
 * @param {any[]} versions
 * @param {number} current
 * @param {string} base "#/models/x/try"
 */
export function versionChoice(versions, current, base) {
    const choice = select(versions.map((one) => ({value: String(one.version), label: `version ${one.version}${one.aliases?.length ? ` (${one.aliases.join(", ")})` : ""}`})), String(current), {"aria-label": "Version", onchange: () => {
        location.hash = `${base}?version=${choice.value}`;
    }});
    return choice;
}

/**
 * The column that is probably meant: by its name, else the last one.
 * @param {any} dataset
 * @returns {string | undefined}
 */
export const likelyTarget = (dataset) => (dataset.columns.find((/** @type {any} */ one) => /^(target|class|label|species|outcome|y)$/i.test(one.name)) ?? dataset.columns.at(-1))?.name;

/**
 * The columns that a version reads, as the preprocessing lists them.
 * @param {any} version
 * @returns {any[]}
 */
export const featuresOf = (version) => version.preprocessing?.features ?? version.members?.[0]?.preprocessing?.features ?? (version.features ?? []).map((/** @type {string} */ name) => ({name, type: "unknown"}));
