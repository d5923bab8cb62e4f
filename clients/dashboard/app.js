// app.js - the shell: which view a URL shows, the navigation, the connection, sign-in, light and dark.
import {get, onUnauthorized, Problem} from "./lib/api.js";
import {fill, h} from "./lib/dom.js";
import {alertBox, fail} from "./lib/page.js";
import {connect, disconnect, loadSession, on, state} from "./lib/state.js";

/** Every view: the pattern of its address, its module, and the entry of the navigation that it belongs to. */
const views = [
    {pattern: /^$/, load: () => import("./views/home.js"), entry: "Start"},
    {pattern: /^data$/, load: () => import("./views/data.js"), entry: "Data"},
    {pattern: /^data\/([^/]+)$/, load: () => import("./views/dataset.js"), entry: "Data"},
    {pattern: /^train$/, load: () => import("./views/train.js"), entry: "Train"},
    {pattern: /^runs$/, load: () => import("./views/runs.js"), entry: "Runs"},
    {pattern: /^runs\/([^/]+)$/, load: () => import("./views/run.js"), entry: "Runs"},
    {pattern: /^compare$/, load: () => import("./views/compare.js"), entry: "Runs"},
    {pattern: /^sweeps$/, load: () => import("./views/sweeps.js"), entry: "Runs"},
    {pattern: /^sweeps\/([^/]+)$/, load: () => import("./views/sweep.js"), entry: "Runs"},
    {pattern: /^models$/, load: () => import("./views/models.js"), entry: "Models"},
    {pattern: /^models\/([^/]+)$/, load: () => import("./views/model.js"), entry: "Models"},
    {pattern: /^models\/([^/]+)\/evaluate$/, load: () => import("./views/evaluate.js"), entry: "Models"},
    {pattern: /^models\/([^/]+)\/explain$/, load: () => import("./views/explain.js"), entry: "Models"},
    {pattern: /^models\/([^/]+)\/try$/, load: () => import("./views/try.js"), entry: "Models"},
    {pattern: /^inside$/, load: () => import("./views/inside.js"), entry: "Inside"},
    {pattern: /^inside\/([^/]+)$/, load: () => import("./views/inside.js"), entry: "Inside"},
    {pattern: /^playground$/, load: () => import("./views/playground.js"), entry: "Inside"},
    {pattern: /^server$/, load: () => import("./views/server.js"), entry: "Server"},
];
const entries = [["Start", "#/"], ["Data", "#/data"], ["Train", "#/train"], ["Runs", "#/runs"], ["Models", "#/models"], ["Inside", "#/inside"], ["Server", "#/server"]];

const main = /** @type {HTMLElement} */ (document.getElementById("main"));
let leave = new AbortController();
let first = true;

/** @param {string} current */
function navigation(current) {
    fill(/** @type {Element} */ (document.getElementById("nav")), entries.map(([name, href]) => h("a", {href, "aria-current": name === current ? "page" : null}, name)));
}

async function route() {
    leave.abort();
    leave = new AbortController();
    const signal = leave.signal;
    const [path, query] = location.hash.replace(/^#\/?/, "").split("?");
    const found = views.map((view) => ({view, match: view.pattern.exec(path)})).find((one) => one.match);
    navigation(found?.view.entry ?? "");
    if (!found?.match) {
        document.title = "Not found – backpropd";
        fill(main, h("div", {class: "empty"}, h("h1", null, "There is no such page"), h("p", null, h("a", {href: "#/"}, "Go to the start"))));
        return;
    }
    const page = {signal, main, params: found.match.slice(1).map(decodeURIComponent), query: new URLSearchParams(query ?? "")};
    main.setAttribute("aria-busy", "true");
    try {
        const module = await found.view.load().catch((/** @type {Error} */ error) => {
            throw new Problem(0, {detail: `The server does not answer: a part of the page is missing (${error.message}).`});
        });
        if (!signal.aborted) await module.default(page);
    } catch (error) {
        if (!signal.aborted) fill(main, h("h1", {tabindex: "-1"}, "This page cannot be shown"), alertBox(error), h("button", {onclick: route}, "Try again"));
    }
    if (signal.aborted) return;
    main.removeAttribute("aria-busy");
    if (!first) { // the reader of the screen learns where it is
        window.scrollTo(0, 0);
        main.querySelector("h1")?.focus({preventScroll: true});
    }
    first = false;
}

function themeButton() {
    const kept = localStorage.getItem("theme");
    if (kept) document.documentElement.dataset.theme = kept;
    const dark = () => (document.documentElement.dataset.theme ?? (matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light")) === "dark";
    const button = h("button", {class: "icon", type: "button", onclick: () => {
        document.documentElement.dataset.theme = dark() ? "light" : "dark";
        localStorage.setItem("theme", document.documentElement.dataset.theme);
        label();
    }});
    const label = () => {
        button.textContent = dark() ? "Light" : "Dark";
        button.setAttribute("aria-label", `Switch to ${dark() ? "light" : "dark"} colours`);
    };
    label();
    return button;
}

function bar() {
    const connection = h("span", {class: "chip", role: "status"});
    const account = h("span");
    const showConnection = () => {
        connection.className = `chip ${state.connected ? "good" : "warn"}`;
        connection.textContent = state.connected ? "live" : "connecting …";
        connection.title = state.connected ? "Events arrive as they happen" : "The connection to the server is lost; it is tried again";
    };
    const forever = new AbortController().signal;
    on("connection", showConnection, forever);
    on("session", () => fill(account, state.session?.key_required && state.session.signed_in
        ? h("button", {type: "button", onclick: async () => {
            await fetch("/v1/session", {method: "DELETE"}).catch(fail);
            disconnect();
            await start();
        }}, "Sign out")
        : ""), forever);
    showConnection();
    fill(/** @type {Element} */ (document.getElementById("bar-end")), connection, account, themeButton());
}

/** Of a replica: where changes are made. A key that may not read has no banner. */
async function replicaBanner() {
    const banner = /** @type {HTMLElement} */ (document.getElementById("replica"));
    const server = await get("/v1/server").catch(() => null);
    const primary = server?.following?.primary;
    banner.hidden = !primary;
    if (primary) fill(banner, "This server is a read-only replica: it predicts. Datasets, runs and every change are at ", h("a", {href: primary, rel: "noopener"}, primary), ".");
}

let started = false;
async function start() {
    try {
        await loadSession();
    } catch (error) {
        fill(main, h("h1", null, "The server does not answer"), alertBox(error));
        setTimeout(start, 1500);
        return;
    }
    if (!state.session?.signed_in) {
        navigation("");
        const signIn = await import("./views/signin.js");
        signIn.default(main, start);
        return;
    }
    connect();
    replicaBanner();
    if (!started) window.addEventListener("hashchange", route);
    started = true;
    await route();
}

onUnauthorized.run = () => {
    if (!state.session?.signed_in) return;
    disconnect();
    state.session = null;
    start();
};

/** What scrolls can be reached by keyboard: tables that are wider than their place. */
function reachable() {
    let queued = false;
    const look = () => {
        queued = false;
        for (const place of main.querySelectorAll(".scroll")) {
            const scrolls = place.scrollWidth > place.clientWidth || place.scrollHeight > place.clientHeight;
            if (scrolls) place.setAttribute("tabindex", "0");
            else place.removeAttribute("tabindex");
        }
    };
    const later = () => {
        if (!queued) requestAnimationFrame(look);
        queued = true;
    };
    new MutationObserver(later).observe(main, {childList: true, subtree: true});
    window.addEventListener("resize", later);
}

navigation("");
bar();
reachable();
start();
