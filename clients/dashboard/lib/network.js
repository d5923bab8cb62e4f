// network.js - the picture of a network: one box per layer, arrows from input to output, coloured by health if there is a report of it.
import {picture, s} from "./dom.js";
import {number} from "./format.js";

/**
 * @typedef {{name: string, type: string, inputs: string[], output_shape: number[], parameters: number}} Layer
 * @typedef {{layer: string, gradient_norm: number, update_norm: number, ratio: number, dead?: number, saturated?: number}} Health
 */

/**
 * What the figures of a layer say, by the usual rules of thumb.
 * @param {Health} health
 * @returns {["good" | "warn" | "bad", string]}
 */
export function judge(health) {
    const stuck = health.dead ?? health.saturated ?? 0;
    const what = health.dead !== undefined ? "dead" : "saturated";
    if (!Number.isFinite(health.gradient_norm) || health.gradient_norm === null) return ["bad", "the gradient is not finite"];
    if (stuck > 0.9) return ["bad", `${Math.round(stuck * 100)} % of the units are ${what}`];
    if (health.ratio > 0.1) return ["bad", "each update changes the weights by more than 10 %"];
    if (stuck > 0.5) return ["warn", `${Math.round(stuck * 100)} % of the units are ${what}`];
    if (health.ratio > 0.03) return ["warn", "updates are large for these weights"];
    if (health.gradient_norm < 1e-7) return ["warn", "hardly any gradient arrives here"];
    return ["good", "healthy"];
}

/**
 * Networks that an ensemble averages; 0: the layers are those of one network.
 * @param {Layer[] | undefined} layers
 */
export function networksAveraged(layers) {
    const averages = (layers ?? []).filter((layer) => layer.type === "weighted_average");
    const names = new Set(averages.map((layer) => layer.name));
    return new Set(averages.flatMap((layer) => layer.inputs.filter((name) => !names.has(name)))).size;
}

/**
 * @param {Layer[]} layers
 * @param {Health[]} [health]
 */
export function networkPicture(layers, health = []) {
    const names = new Set(layers.map((layer) => layer.name));
    const inputs = [...new Set(layers.flatMap((layer) => layer.inputs.filter((name) => !names.has(name))))];
    /** @type {Map<string, number>} */
    const depth = new Map(inputs.map((name) => [name, 0]));
    for (const layer of layers) depth.set(layer.name, 1 + Math.max(0, ...layer.inputs.map((name) => depth.get(name) ?? 0)));
    const rows = Math.max(...depth.values()) + 1;
    /** @type {string[][]} */
    const levels = Array.from({length: rows}, () => []);
    depth.forEach((level, name) => levels[level].push(name));
    const widest = Math.max(...levels.map((level) => level.length));
    const boxWidth = 236;
    const boxHeight = health.length ? 58 : 44;
    const width = Math.max(260, widest * (boxWidth + 20));
    const height = rows * (boxHeight + 26) + 6;
    /** @type {Map<string, {x: number, y: number}>} */
    const at = new Map();
    levels.forEach((level, row) => level.forEach((name, i) => at.set(name, {x: (width * (i + 0.5)) / level.length, y: 4 + row * (boxHeight + 26)})));
    const byName = new Map(layers.map((layer) => [layer.name, layer]));
    const healthOf = new Map(health.map((one) => [one.layer, one]));
    const words = layers.map((layer) => `${layer.name}: ${layer.type}, output ${layer.output_shape.join(" × ")}, ${number(layer.parameters)} parameters`).join("; ");
    const drawing = picture(width, height, `Network. ${words}`,
        layers.flatMap((layer) => layer.inputs.map((name) => {
            const from = at.get(name);
            const to = at.get(layer.name);
            if (!from || !to) return null;
            const y1 = from.y + boxHeight;
            return s("path", {class: "edge", d: `M${from.x} ${y1}C${from.x} ${y1 + 14} ${to.x} ${to.y - 14} ${to.x} ${to.y - 1}M${to.x - 4} ${to.y - 7}l4 6l4 -6`});
        })),
        [...at].map(([name, place]) => {
            const layer = byName.get(name);
            const state = healthOf.get(name);
            const verdict = state ? judge(state) : null;
            return s("g", {transform: `translate(${place.x - boxWidth / 2} ${place.y})`},
                verdict && s("title", null, `${name}: ${verdict[1]}`),
                s("rect", {class: `box ${verdict ? verdict[0] : ""}`, width: boxWidth, height: boxHeight, rx: 8}),
                s("text", {class: "title", x: 12, y: 18}, short(name, 20)),
                s("text", {x: boxWidth - 12, y: 18, "text-anchor": "end"}, layer ? layer.output_shape.join("×") : ""),
                s("text", {x: 12, y: 35}, layer ? `${layer.type}${layer.parameters ? `, ${number(layer.parameters)} parameters` : ""}` : "input"),
                state && s("text", {x: 12, y: 51}, `∇ ${number(state.gradient_norm, 2)}  Δ/w ${number(state.ratio, 2)}${stuckText(state)}`));
        }));
    drawing.setAttribute("class", "network");
    drawing.style.maxWidth = `${width}px`;
    return drawing;
}

/** @param {Health} health */
function stuckText(health) {
    if (health.dead) return `  ${Math.round(health.dead * 100)} % dead`;
    return health.saturated ? `  ${Math.round(health.saturated * 100)} % saturated` : "";
}

/**
 * @param {string} text
 * @param {number} length
 */
const short = (text, length) => (text.length > length ? `${text.slice(0, length - 1)}…` : text);
