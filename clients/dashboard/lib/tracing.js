// tracing.js - what the server's trace says of single units and weights: the sums behind each number, filled in.
import {number} from "./format.js";

/**
 * @typedef {{name: string, value: any, gradient?: any, numeric_gradient?: any, update?: any, largest_difference?: number, trained?: boolean}} Tensor
 * @typedef {{name: string, type: string, inputs: string[], activation?: string, formulas: string[], z?: any[], a: any[], delta?: any[], parameters: Tensor[]}} TracedLayer
 * @typedef {{layers: TracedLayer[], loss: number, losses: string[], batch: number, parameters: number, targets: any[], history: number[], largest_difference: number, optimizer?: any}} Trace
 */

/**
 * @param {any} nested
 * @returns {number[]}
 */
export const flatten = (nested) => (Array.isArray(nested) ? nested.flat(Infinity) : [nested]);

/** @param {number} value */
export const short = (value) => number(value, 3);

/**
 * @param {Trace} trace
 * @param {TracedLayer} layer
 */
export const inputOf = (trace, layer) => trace.layers.find((one) => one.name === layer.inputs[0]);

/**
 * @param {TracedLayer} layer
 * @param {string} name
 */
export const tensor = (layer, name) => layer.parameters.find((one) => one.name === name);

/**
 * A dense layer on plain samples, where a unit's sum can be written out.
 * @param {Trace} trace
 * @param {TracedLayer} layer
 */
export function isPlainDense(trace, layer) {
    const source = inputOf(trace, layer);
    return layer.type === "dense" && Boolean(source) && Array.isArray(layer.a[0]) && !Array.isArray(layer.a[0][0]) && Array.isArray(source?.a[0]) && !Array.isArray(source?.a[0]?.[0]) && Boolean(tensor(layer, "kernel"));
}

/**
 * @param {number[]} xs
 * @param {number[]} ws
 */
function sum(xs, ws) {
    const terms = xs.map((x, i) => ({text: `${short(x)}·${short(ws[i])}`, size: Math.abs(x * ws[i])}));
    if (terms.length <= 8) return terms.map((term) => term.text).join(" + ");
    const largest = [...terms].sort((a, b) => b.size - a.size).slice(0, 6);
    return `${largest.map((term) => term.text).join(" + ")} + ${terms.length - 6} smaller terms`;
}

/**
 * @param {Trace} trace
 * @param {number} at layer
 * @param {number} unit
 * @param {number} sample
 * @returns {string[]}
 */
export function unitFormulas(trace, at, unit, sample) {
    const layer = trace.layers[at];
    const a = flatten(layer.a[sample])[unit];
    const lines = [];
    if (layer.type === "input") return [`a = ${short(a)}, unit ${unit + 1} of sample ${sample + 1}`];
    const z = layer.z ? flatten(layer.z[sample])[unit] : a;
    if (isPlainDense(trace, layer)) {
        const x = flatten(inputOf(trace, layer)?.a[sample]);
        const kernel = /** @type {number[][]} */ (tensor(layer, "kernel")?.value);
        const bias = tensor(layer, "bias")?.value;
        lines.push(`z = Σ x·W${bias ? " + b" : ""} = ${sum(x, kernel.map((row) => row[unit]))}${bias ? ` + ${short(bias[unit])}` : ""} = ${short(z)}`);
    } else lines.push(`${layer.activation ? "z" : "a"} = ${short(z)}, from ${layer.type} of "${layer.inputs[0]}"`);
    if (layer.activation) lines.push(`a = ${layer.activation}(z) = ${layer.activation}(${short(z)}) = ${short(a)}`);
    if (layer.delta) {
        const delta = flatten(layer.delta[sample])[unit];
        const next = trace.layers.find((one) => one.inputs[0] === layer.name && one.inputs.length === 1);
        if (!next) lines.push(`δ = ∂L/∂z = ${short(delta)}, the loss differentiated by z (mean over ${trace.batch} ${trace.batch === 1 ? "sample" : "samples"})`);
        else if (isPlainDense(trace, next) && next.delta) {
            const back = flatten(next.delta[sample]);
            const weights = /** @type {number[][]} */ (tensor(next, "kernel")?.value)[unit];
            const total = back.reduce((t, d, k) => t + d * weights[k], 0);
            lines.push(`δ = (Σ δ_next·W_next)${layer.activation ? ` · ${layer.activation}'(z)` : ""} = (${sum(back, weights)})${layer.activation ? ` · ${total ? short(delta / total) : "f'"}` : ""} = ${short(delta)}`);
        } else lines.push(`δ = ${short(delta)}, sent back by "${next.name}"`);
    }
    return lines;
}

/**
 * @param {Trace} trace
 * @param {number} at a plain dense layer
 * @param {number} from
 * @param {number} to
 * @returns {string[]}
 */
export function weightFormulas(trace, at, from, to) {
    const layer = trace.layers[at];
    const kernel = /** @type {Tensor} */ (tensor(layer, "kernel"));
    const x = trace.layers.find((one) => one.name === layer.inputs[0])?.a.map((sample) => flatten(sample)[from]) ?? [];
    const delta = (layer.delta ?? []).map((sample) => flatten(sample)[to]);
    const lines = [`W[${from + 1}, ${to + 1}] = ${number(kernel.value[from][to], 6)}`];
    if (kernel.gradient) {
        lines.push(`∂L/∂W = Σ over samples of x·δ = ${sum(x, delta)} = ${number(kernel.gradient[from][to], 6)}`);
        lines.push(`numerically: (L(W + h) − L(W − h)) / 2h = ${number(kernel.numeric_gradient[from][to], 6)}, difference ${number(Math.abs(kernel.gradient[from][to] - kernel.numeric_gradient[from][to]), 2)}`);
    }
    lines.push(...updateLines(kernel, (value) => value[from][to], trace));
    return lines;
}

/**
 * @param {Tensor} one
 * @param {(value: any) => number} pick
 * @param {Trace} trace
 */
export function updateLines(one, pick, trace) {
    if (!one.update) return [];
    const memory = Object.entries(one.update).filter(([key]) => key !== "step" && key !== "value").map(([key, value]) => `${key} = ${number(pick(value), 4)}`);
    const optimizer = trace.optimizer?.type ?? "optimizer";
    return [`${optimizer}: ${memory.length ? `${memory.join(", ")}, ` : ""}step = ${number(pick(one.update.step), 4)}${optimizer === "sgd" && !memory.length ? ` (= −${trace.optimizer.learning_rate} · gradient)` : ""}`, `new value = ${number(pick(one.value), 6)} + ${number(pick(one.update.step), 4)} = ${number(pick(one.update.value), 6)}`];
}
