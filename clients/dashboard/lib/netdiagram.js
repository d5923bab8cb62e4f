// netdiagram.js - the units and weights of a traced network: colours by value, lines by weight or gradient; both can be picked with mouse or keyboard.
import {h, picture, s} from "./dom.js";
import {flatten, inputOf, isPlainDense, short, tensor} from "./tracing.js";

const SHOWN = 10;

/**
 * @typedef {{layer: number, unit: number} | {layer: number, from: number, to: number}} Pick
 */

/**
 * @param {import("./tracing.js").Trace} trace
 * @param {{sample: number, phase: "forward" | "loss" | "backward" | "update", layer: number, picked: Pick | null, pick: (pick: Pick) => void}} view
 */
export function netDiagram(trace, view) {
    const columns = trace.layers.map((layer) => {
        const values = flatten(layer.a[view.sample]);
        return {layer, values, shown: values.length <= SHOWN ? values.map((_, i) => i) : [...Array(SHOWN - 1).keys()], hidden: Math.max(0, values.length - (values.length <= SHOWN ? values.length : SHOWN - 1))};
    });
    const room = (document.getElementById("main")?.clientWidth ?? 1000) - 80;
    const gap = Math.max(96, Math.min(300, room / columns.length));
    const rows = Math.max(...columns.map((column) => column.shown.length + (column.hidden ? 1 : 0)));
    const step = Math.max(42, Math.min(90, 280 / rows));
    const width = columns.length * gap + 20;
    const height = rows * step + 64;
    const x = (/** @type {number} */ c) => 60 + c * gap;
    const y = (/** @type {number} */ c, /** @type {number} */ i) => 46 + ((rows - columns[c].shown.length - (columns[c].hidden ? 1 : 0)) / 2 + i + 0.5) * step;
    const back = view.phase === "backward" || view.phase === "update";
    const keyed = (/** @type {Pick} */ pick) => ({tabindex: "0", role: "button", onclick: () => view.pick(pick), onkeydown: (/** @type {KeyboardEvent} */ event) => {
        if (event.key !== "Enter" && event.key !== " ") return;
        event.preventDefault();
        view.pick(pick);
    }});
    const active = (/** @type {number} */ c) => (view.phase === "forward" ? c <= view.layer : view.phase === "backward" ? c >= view.layer : true);

    /** @param {number} c */
    function edges(c) {
        const layer = columns[c].layer;
        const from = columns.findIndex((column) => column.layer === inputOf(trace, layer));
        if (from < 0) return null;
        if (!isPlainDense(trace, layer)) {
            const same = columns[from].values.length === columns[c].values.length;
            return columns[c].shown.flatMap((unit, i) => (same ? [unit] : columns[from].shown).map((source) => {
                const k = columns[from].shown.indexOf(source);
                return k < 0 ? null : s("line", {x1: x(from) + 16, y1: y(from, k), x2: x(c) - 16, y2: y(c, i), stroke: "var(--line)"});
            }));
        }
        const kernel = /** @type {import("./tracing.js").Tensor} */ (tensor(layer, "kernel"));
        const numbers = back && kernel.gradient ? kernel.gradient : kernel.value;
        const most = Math.max(1e-30, ...columns[from].shown.flatMap((source) => columns[c].shown.map((unit) => Math.abs(numbers[source][unit]))));
        const few = columns[from].shown.length * columns[c].shown.length <= 6; // then the lines can carry their numbers
        return columns[c].shown.flatMap((unit, i) => columns[from].shown.map((source, k) => {
            const value = numbers[source][unit];
            const size = Math.abs(value) / most;
            const picked = view.picked && "from" in view.picked && view.picked.layer === c && view.picked.from === source && view.picked.to === unit;
            const line = s("path", {class: `weight${picked ? " picked" : ""}`, d: `M${x(from) + 16} ${y(from, k)}L${x(c) - 16} ${y(c, i)}`, stroke: value < 0 ? "var(--negative)" : "var(--positive)", "stroke-width": (picked ? 4 : 0.6 + 3.4 * size).toFixed(2), "stroke-opacity": picked ? 1 : (active(c) ? 0.25 + 0.7 * size : 0.12).toFixed(2),
                "aria-label": `Weight from unit ${source + 1} of ${columns[from].layer.name} to unit ${unit + 1} of ${layer.name}: ${short(kernel.value[source][unit])}`, ...keyed({layer: c, from: source, to: unit})});
            if (!few) return line;
            const share = 0.2 + 0.16 * ((i + k) % 2) + 0.1 * i; // apart where lines cross
            return [line, s("text", {x: x(from) + 16 + (gap - 32) * share, y: y(from, k) + (y(c, i) - y(from, k)) * share - 5, "text-anchor": "middle"}, `${back && kernel.gradient ? "∂" : ""}${short(value)}`)];
        }));
    }

    /** @param {number} c */
    function units(c) {
        const {layer, values, shown, hidden} = columns[c];
        const useDelta = back && layer.delta && (view.phase === "update" || c >= view.layer);
        const numbers = useDelta ? flatten(layer.delta?.[view.sample]) : values;
        const most = Math.max(1e-30, ...shown.map((unit) => Math.abs(numbers[unit])));
        return s("g", {opacity: active(c) || back ? 1 : 0.35},
            s("text", {x: x(c), y: 18, "text-anchor": "middle", "font-weight": c === view.layer && view.phase !== "loss" && view.phase !== "update" ? "700" : "400"}, layer.name.length > 17 ? `${layer.name.slice(0, 16)}…` : layer.name),
            s("text", {x: x(c), y: 33, "text-anchor": "middle"}, useDelta ? "δ" : "a"),
            shown.map((unit, i) => {
                const value = numbers[unit];
                const picked = view.picked && "unit" in view.picked && view.picked.layer === c && view.picked.unit === unit;
                return s("g", {class: `unit${picked ? " picked" : ""}`, transform: `translate(${x(c)} ${y(c, i)})`, "aria-label": `Unit ${unit + 1} of ${layer.name}: ${useDelta ? "delta" : "a"} ${short(value)}`, ...keyed({layer: c, unit})},
                    s("circle", {r: 17, fill: "var(--card)"}), s("circle", {r: 17, fill: value < 0 ? "var(--negative)" : "var(--positive)", "fill-opacity": (0.4 * (Math.abs(value) / most)).toFixed(2)}), s("text", {y: 4}, tiny(value)));
            }),
            hidden ? s("text", {x: x(c), y: y(c, shown.length) + 4, "text-anchor": "middle"}, `+ ${hidden} more`) : null);
    }

    const drawing = picture(width, height, "The network with the numbers of one sample. Pick a unit or a weight to see its sum.", columns.map((_, c) => edges(c)), columns.map((_, c) => units(c)));
    drawing.setAttribute("role", "group");
    drawing.style.minWidth = `${Math.min(width, 1400)}px`;
    drawing.style.maxWidth = `${width}px`;
    return h("div", {class: "scroll"}, drawing);
}

/**
 * What fits into a circle.
 * @param {number} value
 */
function tiny(value) {
    const size = Math.abs(value);
    if (value === 0) return "0";
    if (size >= 100) return String(Math.round(value));
    if (size >= 10) return value.toFixed(1);
    if (size >= 0.01) return value.toFixed(2);
    return value.toExponential(0).replace("e-0", "e-").replace("e+", "e");
}
