// model.js - a model: its versions with metrics, aliases, promotion and rollback, notes, export, deletion.
import {curl, get, raw, request} from "../lib/api.js";
import {field, h} from "../lib/dom.js";
import {bytes, number, when} from "../lib/format.js";
import {action, confirmDialog, curlBox, download, head, notice, show} from "../lib/page.js";
import {loadModel, modelTabs} from "../lib/model.js";
import {networkPicture, networksAveraged} from "../lib/network.js";
import {calibrationCard, driftCard} from "../lib/trust.js";

/**
 * A picture of a network; of an ensemble, which has dozens of layers or more, a sentence and their list.
 * @param {any} version
 * @param {any} model
 */
function networkOf(version, model) {
    const averaged = networksAveraged(version?.layers);
    if (averaged) return [h("p", null, `An ensemble: ${averaged} networks that were trained separately and whose predictions are averaged, ${number(version.parameters)} parameters together.`),
        h("details", null, h("summary", null, `All ${version.layers.length} layers`), h("pre", {tabindex: "0"}, version.layers.map((/** @type {import("../lib/network.js").Layer} */ layer) => `${layer.name}: ${layer.type}${layer.parameters ? `, ${number(layer.parameters)} parameters` : ""}`).join("\n")))];
    return version?.layers?.length ? networkPicture(version.layers) : h("pre", {tabindex: "0"}, JSON.stringify(model.definition, null, 2).slice(0, 3000));
}

/** @param {import("../lib/page.js").Page} page */
export default async function modelView(page) {
    const {name, path, model, versions, version} = await loadModel(page);
    const again = () => modelView(page);
    const aliases = Object.entries(model.aliases ?? {});
    const served = model.aliases?.default;
    const names = [...new Set(versions.flatMap((one) => Object.keys(one.metrics ?? {})))].filter((one) => versions.some((v) => typeof v.metrics?.[one] === "number")).sort((a, b) => Number(b.startsWith("val_")) - Number(a.startsWith("val_"))).slice(0, 5);
    const put = async (/** @type {string} */ alias, /** @type {number} */ to) => {
        await request("PUT", `${path}/aliases/${encodeURIComponent(alias)}`, {version: to});
        notice(`${alias} names version ${to} now.`);
        await again();
    };
    const history = served ? await get(`${path}/aliases/default/history?limit=10`, page.signal) : {data: []};
    const newAlias = h("input", {placeholder: "production", autocomplete: "off"});
    show(page.main, head(page, name, {crumb: h("a", {href: "#/models"}, "Models"), tag: served ? h("span", {class: "chip good"}, `serves version ${served}`) : h("span", {class: "chip warn"}, "serves nothing yet"), about: `${versions.length} ${versions.length === 1 ? "version" : "versions"}, changed ${when(model.updated_at)}`,
        actions: [versions.length ? h("a", {class: "button primary", href: `#/models/${encodeURIComponent(name)}/try`}, "Try it") : null, action("Delete", async () => {
            if (!(await confirmDialog(`Delete ${name} with all its versions and aliases? Predictions with it fail from then on.`, "Delete"))) return;
            await request("DELETE", path);
            notice(`${name} is deleted.`);
            location.hash = "#/models";
        }, {class: "danger"})]}), modelTabs(name, "Versions", version?.version),
    h("section", {class: "card"}, h("h2", null, "Versions"), versions.length === 0 ? h("p", {class: "muted"}, "None yet: a definition without a training.") : h("div", {class: "scroll", role: "region", "aria-label": "Versions"}, h("table", null,
        h("thead", null, h("tr", null, ["Version", "Aliases", ...names, "Data", "Stored", "Actions"].map((text) => h("th", {scope: "col", class: names.includes(text) ? "number" : ""}, text)))),
        h("tbody", null, versions.map((one) => h("tr", null, h("th", {scope: "row"}, one.job ? h("a", {href: `#/runs/${one.job}`}, String(one.version)) : String(one.version)), h("td", null, (one.aliases ?? []).map((/** @type {string} */ alias) => h("span", {class: `chip ${alias === "default" ? "good" : "info"}`}, alias))),
            names.map((metric) => h("td", {class: "number"}, number(one.metrics?.[metric]))), h("td", {class: "small"}, one.dataset ? h("a", {href: `#/data/${encodeURIComponent(`${one.dataset.name}@${one.dataset.version}`)}`}, `${one.dataset.name}@${one.dataset.version}`) : "–"), h("td", {class: "small"}, when(one.created_at), one.notes ? h("div", {class: "muted"}, one.notes) : null),
            h("td", null, h("div", {class: "row", style: {"flex-wrap": "nowrap"}}, one.version === served ? h("span", {class: "small muted"}, "served") : action("Promote", () => put("default", one.version), {"aria-label": `Serve version ${one.version}`}),
                action("Notes", () => editNotes(one), {"aria-label": `Notes of version ${one.version}`}),
                (one.aliases ?? []).length ? null : action("Delete", async () => {
                    if (!(await confirmDialog(`Delete version ${one.version} of ${name}?`, "Delete"))) return;
                    await request("DELETE", `${path}/versions/${one.version}`);
                    await again();
                }, {class: "danger", "aria-label": `Delete version ${one.version}`}))))))))),
    h("div", {class: "grid"}, h("section", {class: "card w6"}, h("h2", null, "Aliases"), aliases.map(([alias, to]) => h("div", {class: "row", style: {"margin-bottom": "8px"}}, h("strong", null, alias), h("span", null, `version ${to}`), action("Roll back", async () => {
        const answer = await request("POST", `${path}/aliases/${encodeURIComponent(alias)}/rollback`);
        notice(`${alias} names version ${answer.version} again.`);
        await again();
    }, {"aria-label": `Roll back ${alias}`}))), version ? h("div", {class: "row"}, field("New alias", newAlias, "A name that apps use; it can be moved later."), action(`Point at version ${version.version}`, () => put(newAlias.value.trim(), version.version))) : null,
    history.data.length ? [h("h3", {style: {"margin-top": "14px"}}, "Changes of default"), h("ul", {class: "small"}, history.data.map((/** @type {any} */ change) => h("li", null, `${when(change.changed_at)}: ${change.from ? `${change.from} → ` : ""}${change.to ?? "none"}, ${change.action}${change.changed_by ? ` by ${change.changed_by}` : ""}`)))] : null),
    h("section", {class: "card w6"}, h("h2", null, version ? `Network of version ${version.version}` : "Network"), networkOf(version, model),
        version ? [h("h3", {style: {"margin-top": "14px"}}, "Take it away"), h("div", {class: "row"}, [["bpd", "Model file"], ["safetensors", "safetensors"], ["json", "JSON"], ["c", "C source"]].map(([format, title]) => action(title, async () => {
            const response = await raw("GET", `${path}/versions/${version.version}/export?format=${format}`);
            const file = /filename="([^"]+)"/.exec(response.headers.get("Content-Disposition") ?? "")?.[1] ?? `${name}-${version.version}.${format}`;
            download(file, await response.blob());
        }, {"aria-label": `Export version ${version.version} as ${title}`}))), h("p", {class: "small muted"}, `${bytes(version.bytes)}. The C source needs no library.`)] : null)),
    version ? h("div", {class: "grid"}, driftCard(`${path}/versions/${version.version}`, page.signal), calibrationCard(`${path}/versions/${version.version}`, page.signal, version.dataset?.name ?? "")) : null,
    curlBox(() => [{label: "Versions", text: curl("GET", `${path}/versions`)}, {label: "Serve a version", text: curl("PUT", `${path}/aliases/default`, {version: version?.version ?? 1})}, {label: "Roll back", text: curl("POST", `${path}/aliases/default/rollback`)}, {label: "Export", text: curl("GET", `${path}/versions/${version?.version ?? 1}/export?format=bpd`).replace("curl", "curl -OJ")}]));

    /** @param {any} one */
    async function editNotes(one) {
        const notes = h("textarea", {rows: 4, value: one.notes ?? ""});
        const tags = h("input", {value: (one.tags ?? []).join(", ")});
        const dialog = h("dialog", {"aria-label": "Notes and tags", onclose: async () => {
            dialog.remove();
            if (dialog.returnValue !== "save") return;
            await request("PATCH", `${path}/versions/${one.version}/notes`, {notes: notes.value, tags: tags.value.split(",").map((tag) => tag.trim()).filter(Boolean)});
            await again();
        }}, h("form", {method: "dialog"}, h("h2", null, `Version ${one.version}`), field("Notes", notes), field("Tags", tags, "Separated by commas."), h("div", {class: "row end", style: {"margin-top": "12px"}}, h("button", {value: ""}, "Cancel"), h("button", {value: "save", class: "primary"}, "Save"))));
        document.body.append(dialog);
        dialog.showModal();
    }
}
