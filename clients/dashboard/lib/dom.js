// dom.js - making elements. Text is always set as text, never parsed: no value of a dataset can become markup.

/** @typedef {Node | string | number | null | undefined | false} Leaf */
/** @typedef {Leaf | Leaf[] | Leaf[][]} Child */

const SVG = "http://www.w3.org/2000/svg";

/**
 * @param {Element} element
 * @param {Record<string, any>} props attributes; `on…` listens, `value`, `checked` and the like are properties, `style` is an object
 */
function apply(element, props) {
    for (const [name, value] of Object.entries(props)) {
        if (value === undefined || value === null || value === false) continue;
        if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
        else if (name === "style") for (const [key, text] of Object.entries(value)) /** @type {any} */ (element).style.setProperty(key, text);
        else if (name === "value" || name === "checked" || name === "selected" || name === "disabled" || name === "indeterminate") /** @type {any} */ (element)[name] = value;
        else element.setAttribute(name, value === true ? "" : String(value));
    }
}

/**
 * @param {Element | DocumentFragment} parent
 * @param {any[]} children
 */
export function append(parent, children) {
    for (const child of children) {
        if (child === null || child === undefined || child === false) continue;
        if (Array.isArray(child)) append(parent, child);
        else parent.append(child instanceof Node ? child : String(child));
    }
}

/**
 * @template {keyof HTMLElementTagNameMap} T
 * @param {T} tag
 * @param {Record<string, any> | null} [props]
 * @param {...any} children
 * @returns {HTMLElementTagNameMap[T]}
 */
export function h(tag, props, ...children) {
    const element = document.createElement(tag);
    append(element, children);
    if (props) apply(element, props); // after the children: the value of a select needs its options
    return element;
}

/**
 * @param {string} tag
 * @param {Record<string, any> | null} [props]
 * @param {...any} children
 * @returns {SVGElement}
 */
export function s(tag, props, ...children) {
    const element = document.createElementNS(SVG, tag);
    if (props) apply(element, props);
    append(element, children);
    return element;
}

/**
 * @param {Element} element
 * @param {...any} children
 */
export function fill(element, ...children) {
    element.replaceChildren();
    append(element, children);
}

/**
 * Fills an element only when what it shows has changed: a button under the pointer, or one with the focus, must not be replaced, and a screen reader
 * must not read the same again.
 * @param {HTMLElement} element
 * @param {any} key what it depends on
 * @param {() => any} make
 */
export function refill(element, key, make) {
    const text = JSON.stringify(key);
    if (element.dataset.key === text) return;
    element.dataset.key = text;
    fill(element, make());
}

/**
 * A picture with a name for screen readers.
 * @param {number} width
 * @param {number} height
 * @param {string} label
 * @param {...any} children
 */
export function picture(width, height, label, ...children) {
    return s("svg", {viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": label, width: "100%"}, s("title", null, label), children);
}

let counter = 0;
/** @param {string} prefix */
function unique(prefix) {
    counter += 1;
    return `${prefix}-${counter}`;
}

/**
 * @param {string} label
 * @param {HTMLElement} control
 * @param {string} [help]
 */
export function field(label, control, help) {
    const id = control.id || unique("field");
    control.id = id;
    const fault = h("div", {class: "fault", id: `${id}-fault`, hidden: true});
    const about = help ? h("div", {class: "help", id: `${id}-help`}, help) : null;
    control.setAttribute("aria-describedby", `${help ? `${id}-help ` : ""}${id}-fault`);
    return h("div", {class: "field"}, h("label", {for: id}, label), control, fault, about);
}

/**
 * Shows a fault at a control that `field` has wrapped; "" clears it.
 * @param {HTMLElement} control
 * @param {string} text
 */
export function setFault(control, text) {
    const place = document.getElementById(`${control.id}-fault`);
    control.toggleAttribute("aria-invalid", false);
    if (text) control.setAttribute("aria-invalid", "true");
    if (place) {
        place.textContent = text;
        place.hidden = !text;
    }
}

/**
 * @param {{value: string, label?: string, disabled?: boolean}[] | string[]} options
 * @param {string} value
 * @param {Record<string, any>} [props]
 */
export function select(options, value, props) {
    const items = options.map((option) => {
        const o = typeof option === "string" ? {value: option, label: option} : option;
        return h("option", {value: o.value}, o.label ?? o.value);
    });
    return h("select", {...props, value}, items);
}

/**
 * @template {(...args: any[]) => void} F
 * @param {F} run
 * @param {number} ms
 * @returns {F}
 */
export function debounce(run, ms) {
    let timer = 0;
    return /** @type {F} */ ((...args) => {
        clearTimeout(timer);
        timer = window.setTimeout(() => run(...args), ms);
    });
}
