// format.js - numbers, times and sizes as people read them.

/**
 * Up to `digits` significant digits, without an exponent where that can be read.
 * @param {any} value
 * @param {number} [digits]
 * @returns {string}
 */
export function number(value, digits = 4) {
    if (value === null || value === undefined) return "–";
    if (typeof value !== "number") return String(value);
    if (!Number.isFinite(value)) return "–";
    if (value === 0) return "0";
    const size = Math.abs(value);
    if (Number.isInteger(value) && size < 1e15) return value.toLocaleString("en-US").replaceAll(",", "\u202f");
    if (size < 1e-4 || size >= 1e9) return value.toExponential(Math.max(0, digits - 2));
    const rounded = Number(value.toPrecision(digits));
    return size >= 1000 ? number(Math.round(rounded)) : String(rounded);
}

/** @param {number | null | undefined} value */
export function percent(value) {
    if (value === 0 || value === 1) return `${value * 100} %`;
    return value === null || value === undefined ? "–" : `${(value * 100).toFixed(value > 0.9995 || value < 0.0995 ? 2 : 1)} %`;
}

/** @param {number | null | undefined} value */
export function bytes(value) {
    if (value === null || value === undefined) return "–";
    const units = ["B", "KB", "MB", "GB", "TB"];
    let i = 0;
    let amount = value;
    while (amount >= 1000 && i < units.length - 1) {
        amount /= 1000;
        i += 1;
    }
    return `${amount >= 100 || i === 0 ? Math.round(amount) : amount.toFixed(1)} ${units[i]}`;
}

/** @param {number | null | undefined} seconds */
export function duration(seconds) {
    if (seconds === null || seconds === undefined || !Number.isFinite(seconds)) return "–";
    if (seconds < 0.001) return `${Number((seconds * 1000).toPrecision(2))} ms`;
    if (seconds < 1) return `${Math.round(seconds * 1000)} ms`;
    if (seconds < 60) return `${seconds.toFixed(seconds < 10 ? 1 : 0)} s`;
    if (seconds < 3600) return `${Math.floor(seconds / 60)} min ${Math.round(seconds % 60)} s`;
    if (seconds < 86400) return `${Math.floor(seconds / 3600)} h ${Math.floor((seconds % 3600) / 60)} min`;
    return `${Math.floor(seconds / 86400)} d ${Math.floor((seconds % 86400) / 3600)} h`;
}

/** @param {string | null | undefined} time */
export function when(time) {
    if (!time) return "–";
    const then = new Date(time);
    const ago = (Date.now() - then.getTime()) / 1000;
    if (ago < 5 && ago > -60) return "just now";
    if (ago < 86400 && ago > 0) return `${duration(ago < 60 ? Math.round(ago) : Math.round(ago / 60) * 60).replace(" 0 s", "")} ago`;
    return then.toLocaleString();
}

/** @param {{started_at?: string | null, finished_at?: string | null}} job */
export function elapsed(job) {
    if (!job.started_at) return null;
    return ((job.finished_at ? new Date(job.finished_at) : new Date()).getTime() - new Date(job.started_at).getTime()) / 1000;
}

/**
 * @param {number} count
 * @param {string} one
 * @param {string} [many]
 */
export function plural(count, one, many) {
    return `${number(count)} ${count === 1 ? one : many ?? `${one}s`}`;
}

/**
 * Any value in one line.
 * @param {any} value
 */
export function value(value) {
    if (value === null || value === undefined) return "–";
    if (typeof value === "number") return number(value);
    return typeof value === "object" ? JSON.stringify(value) : String(value);
}
