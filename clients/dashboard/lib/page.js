// page.js - what every view has: a title, a heading, "copy as curl", notices, and an end for its timers and subscriptions.
import {fill, h} from "./dom.js";
import {Problem} from "./api.js";

/**
 * @typedef {{signal: AbortSignal, main: HTMLElement, params: string[], query: URLSearchParams}} Page
 */

/**
 * @param {Page} page
 * @param {string} title
 * @param {{crumb?: any, about?: any, actions?: any, tag?: any}} [parts]
 */
export function head(page, title, parts = {}) {
    document.title = `${title} – backpropd`;
    return h("div", {class: "head"},
        h("div", {class: "grow"}, parts.crumb ? h("p", {class: "crumb"}, parts.crumb) : null, h("div", {class: "row"}, h("h1", {tabindex: "-1"}, title), parts.tag ?? null), parts.about ? h("p", {class: "muted"}, parts.about) : null),
        h("div", {class: "row"}, parts.actions ?? null));
}

/**
 * @param {string} text
 * @param {boolean} [bad]
 */
export function notice(text, bad = false) {
    const place = document.getElementById("notices");
    const box = h("div", {class: `notice${bad ? " bad" : ""}`}, h("span", null, text), h("button", {class: "link", "aria-label": "Dismiss", onclick: () => box.remove()}, "Close"));
    place?.append(box);
    setTimeout(() => box.remove(), bad ? 15000 : 6000);
    while (place && place.children.length > 4) place.firstElementChild?.remove();
}

/** @param {unknown} error */
export function fail(error) {
    if (error instanceof DOMException && error.name === "AbortError") return;
    notice(error instanceof Error ? error.message : String(error), true);
}

/** @param {{pointer?: string, line?: number, column?: string, value?: any}} one */
const place = (one) => (one.pointer ? `${one.pointer}: ` : one.line ? `Line ${one.line}${one.column ? `, ${one.column}${one.value !== undefined ? ` "${one.value}"` : ""}` : ""}: ` : "");

/**
 * An error as part of a page, with its places.
 * @param {unknown} error
 */
export function alertBox(error) {
    if (error instanceof Problem && error.errors.length > 1)
        return h("div", {class: "alert bad", role: "alert"}, h("ul", null, error.errors.slice(0, 8).map((one) => h("li", null, place(one), one.detail)), error.errors.length > 8 ? h("li", null, "… and more") : null));
    return h("div", {class: "alert bad", role: "alert"}, error instanceof Error ? error.message : String(error));
}

/**
 * Runs an action of a button: no second time before it has ended, and a failure is shown.
 * @param {string} label
 * @param {() => Promise<any> | any} run
 * @param {Record<string, any>} [props]
 */
export function action(label, run, props = {}) {
    const button = h("button", {type: "button", ...props, onclick: async () => {
        button.disabled = true;
        try {
            await run();
        } catch (error) {
            fail(error);
        }
        button.disabled = false;
    }}, label);
    return button;
}

/** @param {string} text */
async function copy(text) {
    try {
        await navigator.clipboard.writeText(text);
    } catch {
        const area = h("textarea", {value: text});
        document.body.append(area);
        area.select();
        document.execCommand("copy");
        area.remove();
    }
    notice("Copied.");
}

/**
 * The same as the page, for a shell.
 * @param {() => {label: string, text: string}[]} commands
 */
export function curlBox(commands) {
    const place = h("div");
    const box = h("details", {class: "curl", ontoggle: () => box.open && fill(place, commands().map((command) => h("div", null,
        h("p", {class: "small row"}, h("strong", null, command.label), h("button", {type: "button", class: "link", "aria-label": `Copy: ${command.label}`, onclick: () => copy(command.text)}, "Copy")),
        h("pre", {tabindex: "0"}, command.text))))},
    h("summary", null, "Copy as curl"), place);
    return box;
}

/**
 * @param {string} question
 * @param {string} yes
 * @returns {Promise<boolean>}
 */
export function confirmDialog(question, yes) {
    return new Promise((resolve) => {
        const dialog = h("dialog", {"aria-label": yes, onclose: () => {
            dialog.remove();
            resolve(dialog.returnValue === "yes");
        }}, h("form", {method: "dialog"}, h("p", null, question), h("div", {class: "row end"}, h("button", {value: "no"}, "Keep"), h("button", {value: "yes", class: "danger"}, yes))));
        document.body.append(dialog);
        dialog.showModal();
    });
}

/** @param {string} status */
export function statusChip(status) {
    const tone = {succeeded: "good", failed: "bad", cancelled: "", running: "info", queued: "", paused: "warn", pausing: "warn", cancelling: "warn"}[status] ?? "";
    return h("span", {class: `chip ${tone}`}, status);
}

/**
 * What the server remarks. That an output layer was added is no reason to worry.
 * @param {string[]} warnings
 */
export function warningBox(warnings) {
    const notes = (warnings ?? []).filter((text) => /is treated as a hidden layer/.test(text));
    const alarms = (warnings ?? []).filter((text) => !notes.includes(text));
    return [alarms.length ? h("div", {class: "alert warn"}, alarms.length === 1 ? alarms[0] : h("ul", null, alarms.map((text) => h("li", null, text)))) : null, notes.map((text) => h("div", {class: "alert"}, text))];
}

/** @param {{label: string, value: any, note?: any}[]} items */
export function tiles(items) {
    return h("dl", {class: "tiles"}, items.map((item) => h("div", {class: "tile"}, h("dt", null, item.label), h("dd", null, item.value, item.note ? h("small", null, " ", item.note) : null))));
}

/**
 * @param {string} name
 * @param {string | Blob} content
 * @param {string} [type]
 */
export function download(name, content, type = "text/plain") {
    const link = h("a", {href: URL.createObjectURL(content instanceof Blob ? content : new Blob([content], {type})), download: name});
    document.body.append(link);
    link.click();
    link.remove();
    setTimeout(() => URL.revokeObjectURL(link.href), 10000);
}

export {fill as show} from "./dom.js";
