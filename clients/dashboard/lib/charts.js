// charts.js - curves over epochs, drawn by dygraphs: many points on a canvas, zoom by dragging, values under the pointer.
import {fill, h} from "./dom.js";
import {number} from "./format.js";

/**
 * @typedef {{name: string, points: Map<number, number>, color?: number, dashed?: boolean}} Series by x, in any order
 * @typedef {{log: boolean, smoothing: number, mark?: {x: number, text: string} | null}} View
 */

const DRAWN_MAX = 1200; // points of one curve that are drawn: more than pixels; extremes are kept
const ALL_DRAWN_MAX = 10000; // of all curves together, but never fewer than 400 of each

/**
 * The points of each series by x, until it has others.
 * @type {WeakMap<Map<number, number>, [number, number][]>}
 */
const sortedPoints = new WeakMap();

/** @param {Map<number, number>} points */
function sorted(points) {
    const known = sortedPoints.get(points);
    if (known && known.length === points.size) return known;
    const made = [...points.entries()].sort((a, b) => a[0] - b[0]);
    sortedPoints.set(points, made);
    return made;
}

/** @type {Promise<void> | null} */
let library = null;

/** Loads the library at the first chart, so that other pages need not wait for it. */
function load() {
    library = library ?? new Promise((resolve, reject) => {
        const script = h("script", {src: "/dashboard/vendor/dygraph.js"});
        script.onload = () => { // the legend is ours: that of dygraphs needs inline styles, which the policy of the page forbids
            Dygraph.PLUGINS = Dygraph.PLUGINS.filter((plugin) => plugin !== Dygraph.Plugins.Legend);
            resolve();
        };
        script.onerror = () => {
            library = null;
            reject(new Error("the chart library could not be loaded"));
        };
        document.head.append(script);
    });
    return library;
}

/** @param {number} i */
export const color = (i) => getComputedStyle(document.documentElement).getPropertyValue(`--s${i % 8}`).trim();
/** @param {string} name */
const variable = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

/**
 * Exponential moving average without the bias of its start (as Adam's, Kingma and Ba 2015).
 * @param {number[]} values
 * @param {number} weight
 */
function smooth(values, weight) {
    if (weight === 0) return values;
    let sum = 0;
    let decay = 1;
    return values.map((value) => {
        sum = weight * sum + (1 - weight) * value;
        decay *= weight;
        return sum / (1 - decay);
    });
}

/**
 * The first and last of each group, and its lowest and highest point.
 * @param {[number, number][]} points by x
 * @param {number} most
 */
function thin(points, most) {
    if (points.length <= most) return points;
    const size = Math.ceil(points.length / (most / 4));
    /** @type {[number, number][]} */
    const kept = [];
    for (let start = 0; start < points.length; start += size) {
        const end = Math.min(start + size, points.length);
        let low = start;
        let high = start;
        for (let i = start + 1; i < end; i++) {
            if (points[i][1] < points[low][1]) low = i;
            if (points[i][1] > points[high][1]) high = i;
        }
        [...new Set([start, low, high, end - 1])].sort((a, b) => a - b).forEach((i) => kept.push(points[i]));
    }
    return kept;
}

/**
 * @param {Series[]} series
 * @param {View} view
 * @param {[number, number] | null} range of x that is shown
 */
function table(series, view, range) {
    /** @type {Map<number, (number | null)[]>} */
    const rows = new Map();
    const most = Math.max(400, Math.min(DRAWN_MAX, ALL_DRAWN_MAX / Math.max(1, series.length)));
    series.forEach((one, column) => {
        let points = sorted(one.points);
        if (view.smoothing) {
            const values = smooth(points.map((point) => point[1]), view.smoothing);
            points = points.map((point, i) => [point[0], values[i]]);
        }
        if (range) {
            const inside = points.filter((point) => point[0] >= range[0] && point[0] <= range[1]);
            const outside = points.filter((point) => point[0] < range[0] || point[0] > range[1]);
            points = [...thin(outside, 200), ...thin(inside, most)];
        } else points = thin(points, most);
        for (const [x, y] of points) {
            const row = rows.get(x) ?? new Array(series.length).fill(null);
            row[column] = view.log && y <= 0 ? null : y;
            rows.set(x, row);
        }
    });
    return [...rows.entries()].sort((a, b) => a[0] - b[0]).map(([x, row]) => [x, ...row]);
}

/**
 * @param {{label: string, x?: string, hidden?: boolean}} about label: for screen readers
 * @returns {{element: HTMLElement, draw: (series: Series[], view: View) => void, destroy: () => void, canvas: () => HTMLCanvasElement | null, resetZoom: () => void}}
 */
export function lineChart(about) {
    const place = h("div", {class: "chart", role: "img", "aria-label": about.label});
    const hover = h("div", {class: "hover", "aria-hidden": "true"});
    const key = h("ul", {class: "key"});
    const element = h("div", null, place, hover, key);
    /** @type {Dygraph | null} */
    let graph = null;
    /** @type {Series[]} */
    let series = [];
    /** @type {View} */
    let view = {log: false, smoothing: 0};
    let queued = false;
    let gone = false;
    let names = "";

    /**
     * @param {number} x
     * @param {DygraphPoint[]} points
     */
    function showValues(x, points) {
        fill(hover, h("strong", null, `${about.x ?? "epoch"} ${number(x)}`), points.map((point) => h("span", null, `${point.name} ${number(point.yval)}`)));
    }

    function options() {
        const stroke = series.map((one, i) => color(one.color ?? i));
        return {
            labels: [about.x ?? "epoch", ...series.map((one) => one.name)],
            colors: stroke,
            logscale: view.log,
            series: Object.fromEntries(series.map((one) => [one.name, {strokePattern: one.dashed ? [6, 4] : null}])),
        };
    }

    function fresh() {
        graph?.destroy();
        graph = new Dygraph(place, table(series, view, null), {
            ...options(),
            connectSeparatedPoints: true,
            strokeWidth: 1.8,
            highlightCircleSize: 4,
            gridLineColor: variable("--line"),
            axisLineColor: variable("--line"),
            axisLabelWidth: 64,
            xRangePad: 6,
            xlabel: about.x ?? "epoch",
            highlightCallback: (/** @type {Event} */ _event, /** @type {number} */ x, /** @type {DygraphPoint[]} */ points) => showValues(x, points),
            unhighlightCallback: () => fill(hover),
            axes: {y: {valueFormatter: number, axisLabelFormatter: (/** @type {number} */ y) => number(y, 3)}, x: {axisLabelFormatter: (/** @type {number} */ x) => number(x)}},
            zoomCallback: () => redraw(),
            underlayCallback: (/** @type {CanvasRenderingContext2D} */ context, /** @type {DygraphArea} */ area, /** @type {Dygraph} */ drawn) => {
                if (!view.mark) return;
                const x = drawn.toDomXCoord(view.mark.x);
                if (x < area.x || x > area.x + area.w) return;
                context.strokeStyle = variable("--good");
                context.setLineDash([3, 3]);
                context.beginPath();
                context.moveTo(x, area.y);
                context.lineTo(x, area.y + area.h);
                context.stroke();
                context.setLineDash([]);
                context.fillStyle = variable("--good");
                context.font = "12px system-ui, sans-serif";
                context.textAlign = x > area.x + area.w / 2 ? "right" : "left";
                context.fillText(view.mark.text, x + (context.textAlign === "right" ? -5 : 5), area.y + 12);
            },
        });
    }

    function redraw() {
        if (gone || !graph) return;
        const zoomed = graph.isZoomed();
        graph.updateOptions({...options(), file: table(series, view, zoomed ? graph.xAxisRange() : null), ...(zoomed ? {} : {dateWindow: null})});
    }

    function update() {
        queued = false;
        if (gone) return;
        load().then(() => {
            if (gone || !place.isConnected) return;
            const now = series.map((one) => one.name).join("\n");
            const empty = series.every((one) => one.points.size === 0);
            place.hidden = empty;
            element.dataset.points = String(series.reduce((sum, one) => sum + one.points.size, 0));
            if (empty) return;
            if (!graph || now !== names) fresh();
            else redraw();
            names = now;
            fill(key, series.map((one, i) => h("li", null, h("i", {style: {background: color(one.color ?? i)}}), one.name)));
        }, (error) => fill(hover, error.message));
    }

    const themes = new MutationObserver(() => graph && fresh());
    themes.observe(document.documentElement, {attributes: true, attributeFilter: ["data-theme"]});
    const scheme = matchMedia("(prefers-color-scheme: dark)");
    const onScheme = () => graph && fresh();
    scheme.addEventListener("change", onScheme);
    return {
        element,
        draw(newSeries, newView) {
            series = newSeries;
            view = newView;
            if (!queued) requestAnimationFrame(update);
            queued = true;
        },
        destroy() {
            gone = true;
            themes.disconnect();
            scheme.removeEventListener("change", onScheme);
            graph?.destroy();
        },
        canvas: () => place.querySelector("canvas"),
        resetZoom: () => graph?.resetZoom(),
    };
}

/**
 * The controls that all charts of runs have; `changed` gets the view.
 * @param {(view: View) => void} changed
 */
export function chartControls(changed) {
    /** @type {View} */
    const view = {log: false, smoothing: 0};
    const log = h("input", {type: "checkbox", onchange: () => {
        view.log = log.checked;
        changed(view);
    }});
    const shown = h("output", null, "off");
    const smoothing = h("input", {type: "range", min: 0, max: 0.98, step: 0.02, value: "0", oninput: () => {
        view.smoothing = Number(smoothing.value);
        shown.textContent = view.smoothing ? view.smoothing.toFixed(2) : "off";
        changed(view);
    }});
    return {view, element: h("div", {class: "row small"}, h("label", null, log, "Log scale"), h("label", null, "Smoothing", smoothing, shown))};
}
