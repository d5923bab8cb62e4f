// models.js - the models, with what each serves; importing one.
import {curl, list, raw} from "../lib/api.js";
import {field, h} from "../lib/dom.js";
import {when} from "../lib/format.js";
import {action, curlBox, head, notice, show} from "../lib/page.js";

/** @param {import("../lib/page.js").Page} page */
export default async function models(page) {
    const all = await list("/v1/models", 1000);
    const file = h("input", {type: "file", accept: ".bpd,.safetensors"});
    const name = h("input", {autocomplete: "off"});
    const send = action("Import", async () => {
        const chosen = file.files?.[0];
        if (!chosen) throw new Error("Choose a model file first.");
        const stored = await (await raw("POST", `/v1/models/import?name=${encodeURIComponent(name.value || chosen.name.replace(/\.[^.]*$/, ""))}`, {body: chosen, headers: {"Content-Type": "application/octet-stream"}})).json();
        notice(`Imported as ${stored.model} version ${stored.version}.`);
        location.hash = `#/models/${encodeURIComponent(stored.model)}`;
    });
    show(page.main, head(page, "Models", {about: "Every successful run stores a version. The alias default decides what predictions without a version use."}),
        h("section", {class: "card"}, all.length === 0 ? h("div", {class: "empty"}, "No model yet. ", h("a", {href: "#/train"}, "Train a network")) : h("div", {class: "scroll"}, h("table", null, h("thead", null, h("tr", null, ["Model", "Versions", "Serves", "Other aliases", "Changed", ""].map((text) => h("th", {scope: "col"}, text || h("span", {class: "muted"}, "Open"))))),
            h("tbody", null, all.map((model) => h("tr", {class: "link-row"}, h("td", null, h("a", {href: `#/models/${encodeURIComponent(model.name)}`}, model.name)), h("td", null, model.versions), h("td", null, model.aliases?.default ? h("span", {class: "chip good"}, `version ${model.aliases.default}`) : h("span", {class: "muted"}, "nothing yet")),
                h("td", null, Object.entries(model.aliases ?? {}).filter(([alias]) => alias !== "default").map(([alias, version]) => h("span", {class: "chip"}, `${alias}: ${version}`))), h("td", null, when(model.updated_at)),
                h("td", null, model.versions ? [h("a", {href: `#/models/${encodeURIComponent(model.name)}/try`}, "Try it"), " · ", h("a", {href: `#/inside/${encodeURIComponent(model.name)}`}, "Inside")] : null))))))),
        h("section", {class: "card"}, h("h2", null, "Import a model"), h("p", {class: "small muted"}, "A .bpd file of `backpropd train` or of an export becomes a version here."), h("div", {class: "fields"}, field("File", file), field("Name", name, "By default that of the file."), h("div", {style: {"align-self": "center"}}, send))),
        curlBox(() => [{label: "List the models", text: curl("GET", "/v1/models")}, {label: "Import a file", text: curl("POST", "/v1/models/import?name=NAME", {file: "model.bpd", type: "application/octet-stream"})}]));
}
