// plots.js - small pictures as SVG: histograms, lines, scatter, bars. Each has a label that says in words what it shows.
import {h, picture, s} from "./dom.js";
import {number} from "./format.js";

/**
 * @param {number[]} counts
 * @param {string} label
 */
export function spark(counts, label) {
    const most = Math.max(1, ...counts);
    const width = 120 / counts.length;
    return s("svg", {class: "spark", viewBox: "0 0 120 30", role: "img", "aria-label": label, preserveAspectRatio: "none"},
        counts.map((count, i) => s("rect", {x: (i * width).toFixed(2), y: (30 - (28 * count) / most).toFixed(2), width: Math.max(0.5, width - 0.8).toFixed(2), height: ((28 * count) / most).toFixed(2)})));
}

/**
 * @param {number} low
 * @param {number} high
 * @param {number} [count]
 */
function ticks(low, high, count = 5) {
    const span = high - low || 1;
    const step = 10 ** Math.floor(Math.log10(span / count));
    const size = [1, 2, 5, 10].map((m) => m * step).find((t) => span / t <= count) ?? step;
    const found = [];
    for (let t = Math.ceil(low / size) * size; t <= high + size * 1e-9; t += size) found.push(Math.abs(t) < size * 1e-9 ? 0 : t);
    return found;
}

/**
 * @typedef {{points: [number, number][], color?: string, dashed?: boolean, dots?: boolean, name?: string}} Line
 * @param {Line[]} lines
 * @param {{label: string, x: string, y: string, xRange?: [number, number], yRange?: [number, number], diagonal?: boolean, height?: number}} about
 */
export function plot(lines, about) {
    const width = 420;
    const height = about.height ?? 300;
    const xs = lines.flatMap((line) => line.points.map((p) => p[0])).filter(Number.isFinite);
    const ys = lines.flatMap((line) => line.points.map((p) => p[1])).filter(Number.isFinite);
    const [xLow, xHigh] = about.xRange ?? spread(xs);
    const [yLow, yHigh] = about.yRange ?? spread(ys);
    const longest = Math.max(...ticks(yLow, yHigh).map((t) => number(t, 3).length));
    const box = {left: Math.max(56, 32 + 8 * longest), right: 12, top: 10, bottom: 42};
    /** @param {number} x */
    const px = (x) => box.left + ((x - xLow) / (xHigh - xLow || 1)) * (width - box.left - box.right);
    /** @param {number} y */
    const py = (y) => height - box.bottom - ((y - yLow) / (yHigh - yLow || 1)) * (height - box.top - box.bottom);
    return picture(width, height, about.label,
        ticks(xLow, xHigh).map((t) => [s("line", {class: "axis", x1: px(t), x2: px(t), y1: box.top, y2: height - box.bottom}), s("text", {x: px(t), y: height - box.bottom + 16, "text-anchor": "middle"}, number(t, 3))]),
        ticks(yLow, yHigh).map((t) => [s("line", {class: "axis", x1: box.left, x2: width - box.right, y1: py(t), y2: py(t)}), s("text", {x: box.left - 6, y: py(t) + 4, "text-anchor": "end"}, number(t, 3))]),
        about.diagonal && s("line", {class: "axis", x1: px(xLow), y1: py(yLow), x2: px(xHigh), y2: py(yHigh), "stroke-dasharray": "4 4"}),
        lines.map((line, i) => line.dots
            ? line.points.map((p) => s("circle", {cx: px(p[0]), cy: py(p[1]), r: 4, fill: line.color ?? `var(--s${i % 8})`}))
            : s("path", {class: "curve", stroke: line.color ?? `var(--s${i % 8})`, "stroke-dasharray": line.dashed ? "6 4" : null, d: line.points.map((p, k) => `${k ? "L" : "M"}${px(p[0]).toFixed(1)} ${py(p[1]).toFixed(1)}`).join("")})),
        s("text", {x: (box.left + width - box.right) / 2, y: height - 6, "text-anchor": "middle"}, about.x),
        s("text", {x: 14, y: (height - box.bottom + box.top) / 2, "text-anchor": "middle", transform: `rotate(-90 14 ${(height - box.bottom + box.top) / 2})`}, about.y));
}

/**
 * @param {number[]} values
 * @returns {[number, number]}
 */
function spread(values) {
    if (values.length === 0) return [0, 1];
    let low = values[0];
    let high = values[0];
    for (const v of values) {
        low = Math.min(low, v);
        high = Math.max(high, v);
    }
    const pad = (high - low || Math.abs(high) || 1) * 0.04;
    return [low - pad, high + pad];
}

/**
 * Names, bars and values in three columns; negative ones go left of the middle in another colour.
 * @param {{name: string, value: number, text?: string, title?: string}[]} items
 * @param {{signed?: boolean, max?: number}} [options]
 */
export function bars(items, options = {}) {
    const most = options.max ?? Math.max(...items.map((item) => Math.abs(item.value)), 1e-300);
    return h("div", {class: "bars"}, items.map((item) => {
        const share = Math.min(1, Math.abs(item.value) / most);
        const bar = h("i", {class: item.value < 0 ? "minus" : "", style: options.signed
            ? {left: item.value < 0 ? `${50 - share * 50}%` : "50%", width: `${share * 50}%`}
            : {left: "0", width: `${share * 100}%`}});
        return [h("span", {class: "name", title: item.title ?? null}, item.name), h("div", {class: "track"}, bar), h("span", {class: "small right mono"}, item.text ?? number(item.value))];
    }));
}

/** @param {{name: string, color: string}[]} items */
export function legend(items) {
    return h("ul", {class: "key"}, items.map((item) => h("li", null, h("i", {style: {background: item.color}}), item.name)));
}
