// inside.js - one example flows forward, its error flows back, the optimizer takes a step: every number of a network, one stage after the other.
import {curl, get, list, post} from "../lib/api.js";
import {field, fill, h, select} from "../lib/dom.js";
import {number} from "../lib/format.js";
import {alertBox, curlBox, fail, head, show} from "../lib/page.js";
import {netDiagram} from "../lib/netdiagram.js";
import {networksAveraged} from "../lib/network.js";
import {plot} from "../lib/plots.js";
import {flatten, isPlainDense, tensor, unitFormulas, updateLines, weightFormulas} from "../lib/tracing.js";

const STAGE_MS = 1600;

/** @param {import("../lib/page.js").Page} page */
async function choose(page) {
    const models = (await list("/v1/models", 1000)).filter((model) => model.versions > 0);
    show(page.main, head(page, "Inside", {about: "See backpropagation happen: every number of a small network, forward, backward, and the step of the optimizer."}),
        h("div", {class: "cards"}, h("section", {class: "card"}, h("h2", null, "By hand"), h("p", null, "A network of two inputs, two hidden units and one output, small enough to check with a calculator."), h("a", {class: "button primary", href: "#/inside/two-two-one?example"}, "Open 2-2-1")),
            h("section", {class: "card"}, h("h2", null, "Playground"), h("p", null, "Points of two classes in the plane. Watch the boundary form as the network learns."), h("a", {class: "button primary", href: "#/playground"}, "Open the playground")),
            models.map((model) => h("section", {class: "card"}, h("h2", null, model.name), h("p", {class: "muted"}, `${model.versions} ${model.versions === 1 ? "version" : "versions"}`), h("a", {class: "button", href: `#/inside/${encodeURIComponent(model.name)}`, "aria-label": `Look inside ${model.name}`}, "Look inside")))),
        curlBox(() => [{label: "Trace a network by hand", text: curl("POST", "/v1/trace", example)}]));
}

/** The network of the guide, which a book on backpropagation would calculate on paper. */
const example = {
    definition: {loss: "mse", layers: [{type: "dense", units: 2, activation: "tanh", name: "hidden"}, {type: "dense", units: 1, name: "out"}]},
    x: [[0.05, 0.1]], y: [0.01], optimizer: {type: "sgd", learning_rate: 0.5},
    weights: {"hidden/kernel": [[0.15, 0.25], [0.2, 0.3]], "hidden/bias": [0.35, -0.1], "out/kernel": [[0.4], [-0.45]], "out/bias": [0.6]},
};

/** @param {import("../lib/page.js").Page} page */
export default async function inside(page) {
    if (page.params.length === 0) return choose(page);
    const name = page.params[0];
    const byHand = page.query.has("example");
    const path = `/v1/models/${encodeURIComponent(name)}`;
    const versions = byHand ? [] : await list(`${path}/versions`, 400);
    const version = byHand ? null : versions.find((one) => String(one.version) === page.query.get("version")) ?? versions.find((one) => one.aliases?.includes("default")) ?? versions[0];
    const reference = version?.dataset ? `${version.dataset.name}@${version.dataset.version}` : null;
    const rows = reference ? await get(`/v1/datasets/${encodeURIComponent(reference)}`, page.signal).then((data) => data.rows, () => 0) : 0;

    const averaged = networksAveraged(version?.layers);
    const why = averaged ? `This version is an ensemble: ${averaged} networks that were trained separately and are averaged, so nothing flows back through it as a whole.` : version && version.parameters > 10000 ? `This network has ${number(version.parameters)} parameters. A network of at most 10\u202f000 can be looked into number by number.` : "";
    if (why) {
        show(page.main, head(page, `Inside ${name}`, {crumb: h("a", {href: "#/inside"}, "Inside")}), h("div", {class: "card empty"}, h("p", null, why), h("p", null, h("a", {class: "button primary", href: `#/train?dataset=${encodeURIComponent(version.dataset?.name ?? "")}`}, "Train a small network"), " ", h("a", {class: "button", href: `#/models/${encodeURIComponent(name)}/explain`}, "Explain this one"))));
        return;
    }
    let steps = 0;
    let rowNumber = 1;
    let stage = 0;
    /** @type {import("../lib/netdiagram.js").Pick | null} */
    let picked = null;
    /** @type {import("../lib/tracing.js").Trace | null} */
    let trace = null;
    /** @type {string[]} */
    let lossNames = [];
    let timer = 0;
    page.signal.addEventListener("abort", () => clearInterval(timer));

    const diagram = h("div");
    const words = h("div", {"aria-live": "polite"});
    const detail = h("div");
    const lossPlot = h("div");
    const slider = h("input", {type: "range", min: "0", value: "0", "aria-label": "Stage", style: {flex: "1 1 200px"}, oninput: () => {
        stage = Number(slider.value);
        draw();
    }});
    const play = h("button", {type: "button", class: "primary", onclick: () => {
        if (timer) return pause();
        if (stage >= stages().length - 1) stage = 0;
        play.textContent = "Pause";
        timer = window.setInterval(() => {
            if (stage >= stages().length - 1) return pause();
            stage += 1;
            draw();
        }, STAGE_MS);
        draw();
    }}, "Play");
    function pause() {
        clearInterval(timer);
        timer = 0;
        play.textContent = "Play";
    }
    const optimizer = select(["sgd", "adam", "rmsprop", "adagrad", "nadam"].map((value) => ({value})), byHand ? "sgd" : version?.options?.optimizer?.type ?? "adam", {onchange: () => load()});
    const rate = h("input", {type: "number", step: "any", min: "0", value: byHand ? 0.5 : version?.options?.optimizer?.learning_rate ?? 0.01, onchange: () => load()});
    const rowInput = h("input", {type: "number", min: "1", max: String(rows || 1), value: "1", onchange: () => {
        rowNumber = Math.max(1, Math.min(rows || 1, Number(rowInput.value) || 1));
        steps = 0;
        load();
    }});
    const stepsText = h("span", {class: "muted small", role: "status"});

    /** @type {any} */
    let sent = null;
    async function load() {
        try {
            const step = {type: optimizer.value, learning_rate: Number(rate.value) || 0.01};
            if (byHand) sent = {...example, optimizer: step, steps};
            else {
                const answer = await get(`/v1/datasets/${encodeURIComponent(reference ?? "")}/rows?limit=1&offset=${rowNumber - 1}`, page.signal);
                const row = Object.fromEntries(Object.entries(answer.data[0]).filter(([, value]) => value !== null));
                sent = {dataset: {records: [row]}, optimizer: step, steps};
            }
            trace = await post(byHand ? "/v1/trace" : `${path}/versions/${version.version}/trace`, sent, page.signal);
            lossNames = trace?.losses ?? [];
            slider.max = String(stages().length - 1);
            stage = Math.min(stage, stages().length - 1);
            draw();
        } catch (error) {
            if (steps > 0) {
                steps = 0;
                fail(error);
            } else fill(diagram, alertBox(error));
        }
    }

    /** @returns {{phase: "forward" | "loss" | "backward" | "update", layer: number, title: string, text: string}[]} */
    function stages() {
        if (!trace) return [];
        const last = trace.layers.length - 1;
        return [...trace.layers.map((layer, i) => ({phase: /** @type {const} */ ("forward"), layer: i, title: i === 0 ? "The example enters" : `Forward through ${layer.name}`, text: layer.formulas.filter((formula) => !/^(delta|d[Wb ]|sent back)/.test(formula)).join("\n")})),
            {phase: "loss", layer: last, title: `The loss: ${lossNames.join(", ")}`, text: `L = ${number(trace.loss, 6)}, what is predicted against the target ${JSON.stringify(flatten(trace.targets[0]?.[0] ?? [])).slice(0, 60)}`},
            ...trace.layers.map((layer, i) => ({phase: /** @type {const} */ ("backward"), layer: i, title: `Backward through ${layer.name}`, text: layer.formulas.filter((formula) => /^(delta|d[Wb ]|sent back)/.test(formula)).join("\n")})).filter((_, i) => i > 0).reverse(),
            ...(trace.optimizer ? [{phase: /** @type {const} */ ("update"), layer: last, title: `The step of ${trace.optimizer.type}`, text: "Every weight moves against its gradient. Pick a weight to see its step."}] : [])];
    }

    function draw() {
        if (!trace) return;
        const now = stages()[stage];
        slider.value = String(stage);
        slider.setAttribute("aria-valuetext", now.title);
        const focus = /** @type {Element | null} */ (document.activeElement)?.getAttribute("aria-label");
        fill(diagram, netDiagram(trace, {sample: 0, phase: now.phase, layer: now.layer, picked, pick: (pick) => {
            picked = pick;
            draw();
        }}));
        if (focus && !document.activeElement?.getAttribute("aria-label")) /** @type {any} */ ([...diagram.querySelectorAll("[aria-label]")].find((element) => element.getAttribute("aria-label") === focus))?.focus();
        fill(words, h("h2", null, `${stage + 1}. ${now.title}`), now.text ? h("p", {class: "formula"}, now.text) : null);
        drawDetail();
        stepsText.textContent = steps ? `after ${number(steps)} ${steps === 1 ? "step" : "steps"}: loss ${number(trace.history[0])} → ${number(trace.loss)}` : `loss ${number(trace.loss)}`;
        fill(lossPlot, trace.history.length > 1 ? plot([{points: trace.history.map((loss, i) => [i, loss])}], {label: `The loss over ${trace.history.length - 1} steps`, x: "step", y: "loss", height: 220}) : h("p", {class: "muted small"}, "Take a step and watch the loss change."));
    }

    function drawDetail() {
        if (!trace) return;
        const layer = picked ? trace.layers[picked.layer] : null;
        if (!picked || !layer) {
            fill(detail, h("p", {class: "muted"}, "Press a unit or a weight in the picture to see where its number comes from."), largest());
            return;
        }
        if ("unit" in picked) {
            const unit = picked.unit;
            const bias = isPlainDense(trace, layer) ? tensor(layer, "bias") : null;
            fill(detail, h("h3", null, `Unit ${unit + 1} of ${layer.name}`), unitFormulas(trace, picked.layer, unit, 0).map((line) => h("p", {class: "formula"}, line)),
                bias?.gradient ? h("p", {class: "formula"}, [`∂L/∂b = Σ δ = ${number(bias.gradient[unit], 6)}, numerically ${number(bias.numeric_gradient[unit], 6)}`, ...updateLines(bias, (value) => value[unit], trace)].join("\n")) : null, layer.type !== "dense" ? tensors(layer) : null);
        } else fill(detail, h("h3", null, `Weight ${picked.from + 1} → ${picked.to + 1} of ${layer.name}`), weightFormulas(trace, picked.layer, picked.from, picked.to).map((line) => h("p", {class: "formula"}, line)));
    }

    const largest = () => h("p", {class: "small muted"}, `The largest difference between any gradient and its numerical twin is ${number(trace?.largest_difference, 2)}, over ${number(trace?.parameters)} parameters.`);

    /** @param {import("../lib/tracing.js").TracedLayer} layer */
    function tensors(layer) {
        return layer.parameters.map((one) => {
            const values = flatten(one.value);
            const gradients = one.gradient ? flatten(one.gradient) : [];
            const twins = one.numeric_gradient ? flatten(one.numeric_gradient) : [];
            const updated = one.update ? flatten(one.update.value) : [];
            return h("details", null, h("summary", null, `${one.name}, ${number(values.length)} numbers`), h("div", {class: "scroll", style: {"max-height": "260px"}}, h("table", null, h("thead", null, h("tr", null, ["#", "value", "gradient", "numerically", "new value"].map((text) => h("th", {scope: "col"}, text)))),
                h("tbody", null, values.slice(0, 200).map((value, i) => h("tr", null, h("td", null, i + 1), h("td", null, number(value)), h("td", null, number(gradients[i])), h("td", null, number(twins[i])), h("td", null, number(updated[i]))))))));
        });
    }

    const take = (/** @type {number} */ count) => {
        steps = Math.min(20000, steps + count);
        load();
    };
    show(page.main, head(page, byHand ? "Inside a 2-2-1 network" : `Inside ${name}`, {crumb: h("a", {href: "#/inside"}, "Inside"), about: byHand ? "Two inputs, two hidden units, one output: check any number with a calculator." : `Version ${version?.version ?? "–"}, row ${rowNumber} of ${reference ?? "its data"}.`,
        actions: byHand ? null : [h("a", {class: "button", href: `#/models/${encodeURIComponent(name)}`}, "Versions")]}),
    h("section", {class: "card"}, h("div", {class: "row"}, h("button", {type: "button", class: "icon", "aria-label": "Previous stage", onclick: () => {
        stage = Math.max(0, stage - 1);
        draw();
    }}, "←"), play, h("button", {type: "button", class: "icon", "aria-label": "Next stage", onclick: () => {
        stage = Math.min(stages().length - 1, stage + 1);
        draw();
    }}, "→"), slider), h("div", {style: {"margin-top": "12px"}}, words, diagram), h("p", {class: "small muted"}, "Blue is positive, orange negative; the thicker, the larger. On the way back, units show δ and lines the gradient of their weight.")),
    h("div", {class: "grid"}, h("section", {class: "card w7"}, h("h2", null, "Where does this number come from?"), detail), h("section", {class: "card w5"}, h("h2", null, "Take a step"), h("div", {class: "fields"}, byHand ? null : field("Row of the data", rowInput), field("Optimizer", optimizer), field("Learning rate", rate)),
        h("div", {class: "row", style: {margin: "12px 0"}}, h("button", {type: "button", class: "primary", onclick: () => take(1)}, "Take a step"), h("button", {type: "button", onclick: () => take(10)}, "10 steps"), h("button", {type: "button", onclick: () => take(100)}, "100 steps"), h("button", {type: "button", onclick: () => {
            steps = 0;
            load();
        }}, "Reset")), stepsText, lossPlot)),
    curlBox(() => [{label: "This trace", text: curl("POST", byHand ? "/v1/trace" : `${path}/versions/${version?.version}/trace`, sent)}]));
    if (!byHand && !version) fill(diagram, h("p", {class: "muted"}, "This model has no version yet."));
    else if (!byHand && !reference) fill(diagram, h("p", {class: "muted"}, "The data of this version is gone, so there is no example to send through it."));
    else await load();
}
