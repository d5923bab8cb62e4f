// params.js - form fields made from the server's catalog: the same names, defaults, limits and help texts that the API has.
import {h, field, select} from "./dom.js";

/**
 * @typedef {{name: string, type: string, help: string, default?: any, required?: boolean, minimum?: number, maximum?: number, above?: number, below?: number, choices?: string[], family?: string}} Param
 */

/**
 * A field for a parameter. `changed` gets undefined when the default is chosen.
 * @param {Param} param
 * @param {any} value
 * @param {(value: any) => void} changed
 * @param {any} catalog
 */
export function paramField(param, value, changed, catalog) {
    const words = param.name.replaceAll("_", " ");
    const label = words[0].toUpperCase() + words.slice(1);
    const help = `${param.help[0].toUpperCase()}${param.help.slice(1)}`;
    if (param.type === "boolean") {
        const box = h("input", {type: "checkbox", checked: value ?? param.default ?? false, onchange: () => changed(box.checked === (param.default ?? false) ? undefined : box.checked)});
        return field(label, box, help);
    }
    if (param.type === "choice" || (param.type === "entry" && param.family)) {
        const names = param.choices ?? catalog[/** @type {string} */ (param.family)].map((/** @type {any} */ entry) => entry.name);
        const current = typeof value === "object" && value ? value.type : value;
        const preset = typeof param.default === "object" && param.default ? param.default.type : param.default;
        const choice = select([{value: "", label: preset ? `${preset} (default)` : param.required ? "choose …" : "default"}, ...names.map((/** @type {string} */ name) => ({value: name}))], current ?? "", {onchange: () => changed(choice.value || undefined)});
        return field(label, choice, help);
    }
    if (param.type === "number" || param.type === "integer") {
        const input = h("input", {type: "number", step: param.type === "integer" ? "1" : "any", min: param.minimum ?? null, max: param.maximum ?? null, value: value ?? "", placeholder: param.default ?? "", oninput: () => changed(input.value === "" ? undefined : Number(input.value))});
        return field(label, input, help);
    }
    const input = h("input", {value: value === undefined ? "" : JSON.stringify(value), placeholder: param.default === undefined || param.default === null ? "" : JSON.stringify(param.default), onchange: () => {
        try {
            changed(input.value === "" ? undefined : JSON.parse(input.value));
        } catch {
            changed(input.value);
        }
    }});
    return field(label, input, `${help} (JSON)`);
}

/**
 * @param {any} catalog
 * @param {string} family
 * @param {string} name
 * @returns {Param[]}
 */
export function paramsOf(catalog, family, name) {
    return catalog[family].find((/** @type {any} */ entry) => entry.name === name)?.params ?? [];
}
