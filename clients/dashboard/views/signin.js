// signin.js - the key is sent once and exchanged for a cookie that scripts cannot read.
import {post} from "../lib/api.js";
import {fill, h, field, setFault} from "../lib/dom.js";

/**
 * @param {HTMLElement} main
 * @param {() => Promise<void>} done
 */
export default function signIn(main, done) {
    document.title = "Sign in – backpropd";
    const key = h("input", {type: "password", autocomplete: "current-password", name: "key", required: true});
    const button = h("button", {class: "primary"}, "Sign in");
    const form = h("form", {class: "card", style: {"max-width": "460px", margin: "8vh auto"}, onsubmit: async (/** @type {Event} */ event) => {
        event.preventDefault();
        button.disabled = true;
        try {
            await post("/v1/session", {key: key.value.trim()});
            key.value = "";
            await done();
        } catch (error) {
            setFault(key, /** @type {Error} */ (error).message);
            key.focus();
        }
        button.disabled = false;
    }}, h("h1", null, "Sign in"), h("p", {class: "muted"}, "This server needs an API key. The browser keeps a session for seven days, not the key."),
    field("API key", key, "The administrator makes one: backpropd keys create --name NAME --scope train"), h("div", {class: "row end"}, button));
    fill(main, form);
    key.focus();
}
