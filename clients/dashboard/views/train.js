// train.js - a job as a form and as JSON, side by side: a change in one shows in the other, and the server checks both as one types.
import {catalog, keep} from "../lib/state.js";
import {curl, get, list, post, Problem} from "../lib/api.js";
import {debounce, field, fill, h, select, setFault} from "../lib/dom.js";
import {bytes, plural} from "../lib/format.js";
import {likelyTarget} from "../lib/model.js";
import {networkPicture} from "../lib/network.js";
import {action, alertBox, curlBox, head, show, warningBox} from "../lib/page.js";
import {paramField, paramsOf} from "../lib/params.js";

/** The layers that are proposed first; all others of the catalog follow. */
const COMMON = ["dense", "dropout", "batch_norm", "layer_norm", "embedding", "conv2d", "max_pool2d", "flatten", "conv1d", "lstm", "gru"];
/** The options that most jobs use; the others are one click away. */
const OPTIONS = ["epochs", "batch_size", "seed", "l2", "max_seconds", "threads"];

/**
 * What a person would try first for that many rows and columns.
 * @param {any} dataset
 */
function proposal(dataset) {
    const rows = dataset?.rows ?? 1000;
    const wide = rows < 500 ? 32 : rows < 5000 ? 64 : 128;
    const layers = [{type: "dense", units: wide, activation: "relu"}, {type: "dense", units: wide / 2, activation: "relu"}];
    return rows < 2000 ? layers : [layers[0], {type: "dropout", rate: 0.1}, layers[1]];
}

/** @param {import("../lib/page.js").Page} page */
export default async function train(page) {
    const [entries, datasets] = await Promise.all([catalog(), list("/v1/datasets", 1000)]);
    /** @type {Record<string, any>} */
    let job = {};
    const from = page.query.get("job");
    if (from) {
        const old = await get(`/v1/jobs/${from}`, page.signal);
        const {validation, early_stopping, ...options} = old.options ?? {};
        job = {dataset: `${old.dataset.name}@${old.dataset.version}`, target: old.target, features: old.features, ...options, validation, early_stopping: early_stopping ?? false};
        for (const key of Object.keys(job)) if (job[key] === null || job[key] === undefined) delete job[key];
        if (old.ensemble) for (const key of Object.keys(options)) delete job[key];
        if (old.ensemble) job.effort = old.ensemble.effort ?? "balanced";
        job.model = {name: old.model, ...old.ensemble ? {} : old.definition};
    } else {
        const name = page.query.get("dataset");
        if (name) job = {dataset: name, model: {name: name.split("@")[0]}};
        if (page.query.get("target")) job.target = page.query.get("target");
    }

    const formPlace = h("div");
    const jsonBox = h("textarea", {rows: 16, spellcheck: "false", "aria-label": "The job as JSON", oninput: () => readJson()});
    const jsonFault = h("p", {class: "fault", role: "status"});
    const verdict = h("div", {role: "status"});
    const start = action("Start training", run, {class: "primary"});
    /** @type {any} */
    let dataset = null;
    /** @type {Map<string, HTMLElement>} controls by JSON pointer, for problems at their field */
    const controls = new Map();

    /**
     * @param {string} pointer
     * @param {HTMLElement} element
     */
    function at(pointer, element) {
        const control = /** @type {HTMLElement} */ (element.querySelector("input, select, textarea") ?? element);
        controls.set(pointer, control);
        return element;
    }

    /**
     * @param {string} name
     * @param {any} value
     */
    function set(name, value) {
        if (value === undefined || value === "") delete job[name];
        else job[name] = value;
        changed(false);
    }

    /** @param {boolean} structure whether the form has other fields now */
    function changed(structure) {
        jsonBox.value = JSON.stringify(job, null, 2);
        jsonFault.textContent = "";
        if (structure) drawForm();
        validate();
    }

    function readJson() {
        try {
            const read = JSON.parse(jsonBox.value);
            if (typeof read !== "object" || Array.isArray(read) || read === null) throw new Error("expected an object, {…}");
            jsonFault.textContent = "";
            const other = read.dataset !== job.dataset;
            job = read;
            if (other) loadDataset().then(drawForm);
            drawForm();
            validate();
        } catch (error) {
            jsonFault.textContent = `This is not JSON yet: ${/** @type {Error} */ (error).message}`;
        }
    }

    async function loadDataset() {
        dataset = null;
        if (typeof job.dataset !== "string" || !job.dataset) return;
        try {
            dataset = await get(`/v1/datasets/${encodeURIComponent(job.dataset)}`, page.signal);
        } catch {
            // validate says what is wrong with it
        }
    }

    let turn = 0;
    const validate = debounce(async () => {
        turn += 1;
        const mine = turn;
        if (!job.dataset || !job.target) {
            fill(verdict, h("p", {class: "muted"}, !job.dataset ? "Choose a dataset." : "Choose the column to predict."));
            start.disabled = true;
            return;
        }
        const {publish, ...body} = job;
        try {
            const answer = await post("/v1/models/validate", body, page.signal);
            if (mine !== turn || page.signal.aborted) return;
            controls.forEach((control) => setFault(control, ""));
            start.disabled = false;
            fill(verdict, warningBox(answer.warnings), answer.ensemble ? ensembleText(answer) : [
                h("p", null, h("strong", null, plural(answer.parameters, "parameter")), `, about ${bytes(answer.memory_bytes)} of memory while it trains.`), networkPicture(answer.layers)]);
        } catch (error) {
            if (mine !== turn || page.signal.aborted) return;
            start.disabled = true;
            controls.forEach((control) => setFault(control, ""));
            const unplaced = error instanceof Problem ? error.errors.filter((one) => !place(one.pointer ?? "", one.detail)) : [];
            fill(verdict, error instanceof Problem && error.errors.length && unplaced.length === 0 ? h("p", {class: "alert bad"}, "See the marked fields.") : alertBox(error));
        }
    }, 250);

    /**
     * At the field of the pointer, or of what contains it.
     * @param {string} pointer
     * @param {string} text
     */
    function place(pointer, text) {
        for (let p = pointer; p; p = p.slice(0, p.lastIndexOf("/"))) {
            const control = controls.get(p);
            if (!control?.isConnected) continue;
            setFault(control, text);
            return true;
        }
        return false;
    }

    /** @param {any} answer */
    function ensembleText(answer) {
        return [h("p", null, h("strong", null, answer.ensemble.chosen)), h("ul", null, answer.ensemble.families.map((/** @type {any} */ family) => h("li", null, `${family.name}: ${family.definition.layers.map((/** @type {any} */ l) => `${l.type}${l.units ? ` ${l.units}` : ""}`).join(" → ")}`))),
            h("p", {class: "small muted"}, "What each family counts follows from rows that were held out, and so does the estimate of how good it is.")];
    }

    async function run() {
        try {
            const made = await post("/v1/jobs", job);
            keep(made);
            location.hash = `#/runs/${made.id}`;
        } catch (error) {
            if (error instanceof Problem) error.errors.forEach((one) => place(one.pointer ?? "", one.detail));
            fill(verdict, alertBox(error));
        }
    }

    /* ---- the form ---- */

    /** A name without layers leaves the network to the server. */
    const isAutomatic = () => job.init_from === undefined && (job.model === undefined || typeof job.model === "object" && Object.keys(job.model ?? {}).every((key) => key === "name"));

    function drawForm() {
        controls.clear();
        const columns = dataset?.columns?.map((/** @type {any} */ column) => column.name) ?? [];
        const automatic = isAutomatic();
        const dataChoice = select([{value: "", label: "choose …"}, ...[...new Set([...datasets.map((d) => d.name), ...(typeof job.dataset === "string" ? [job.dataset] : [])])].map((value) => ({value}))], typeof job.dataset === "string" ? job.dataset : "", {onchange: async () => {
            const before = typeof job.dataset === "string" ? job.dataset.split("@")[0] : undefined;
            job.dataset = dataChoice.value || undefined;
            if (job.dataset && (job.model === undefined || job.model?.name === before)) job.model = {...job.model, name: job.dataset.split("@")[0]};
            delete job.features;
            await loadDataset();
            if (dataset && !columns.includes(job.target)) job.target = undefined;
            if (dataset && job.target === undefined) job.target = likelyTarget(dataset);
            if (job.model?.layers && !touched) job.model.layers = proposal(dataset);
            changed(true);
        }});
        const targetChoice = select([{value: "", label: "choose …"}, ...[...new Set([...columns, ...(typeof job.target === "string" ? [job.target] : [])])].map((value) => ({value}))], typeof job.target === "string" ? job.target : "", {onchange: () => {
            if (Array.isArray(job.features)) job.features = job.features.filter((/** @type {string} */ name) => name !== targetChoice.value);
            set("target", targetChoice.value);
            drawForm();
        }});
        const inputs = columns.filter((/** @type {string} */ name) => name !== job.target);
        const kind = (/** @type {string} */ value, /** @type {string} */ title, /** @type {string} */ about, /** @type {boolean} */ checked, /** @type {() => void} */ pick) => h("label", {class: "row", style: {"flex-wrap": "nowrap", "align-items": "start"}}, h("input", {type: "radio", name: "kind", value, checked, onchange: pick}), h("span", null, h("strong", null, title), h("br"), h("span", {class: "small muted"}, about)));
        fill(formPlace,
            h("section", {class: "card"}, h("h2", null, "1. Data"), h("div", {class: "fields"}, at("/dataset", field("Dataset", dataChoice, dataset ? `${plural(dataset.rows, "row")}, version ${dataset.version}` : "")), at("/target", field("Column to predict", targetChoice))),
                inputs.length ? h("details", null, h("summary", null, `Columns to learn from: ${Array.isArray(job.features) ? job.features.length : "all"} of ${inputs.length}`), h("div", {class: "row", style: {"margin-top": "8px"}}, inputs.map((/** @type {string} */ name) => h("label", null, h("input", {type: "checkbox", checked: !Array.isArray(job.features) || job.features.includes(name), onchange: (/** @type {any} */ event) => {
                    const now = new Set(Array.isArray(job.features) ? job.features : inputs);
                    if (event.target.checked) now.add(name);
                    else now.delete(name);
                    set("features", now.size === inputs.length ? undefined : inputs.filter((/** @type {string} */ one) => now.has(one)));
                }}), name)))) : null),
            h("section", {class: "card"}, h("h2", null, "2. Network"), h("div", {style: {display: "grid", gap: "10px", "margin-bottom": "14px"}, role: "radiogroup", "aria-label": "Network"},
                kind("auto", "Automatic", "Several families of small networks are trained on folds and combined. The best choice for tables.", automatic, () => {
                    nameModel(job.model?.name);
                    for (const name of ["optimizer", "schedule", "epochs", "batch_size"]) delete job[name];
                    changed(true);
                }),
                kind("own", "Your own network", "Layers that you choose. You see its curves and can look inside.", !automatic, () => {
                    job.model = {name: job.model?.name ?? (typeof job.dataset === "string" ? job.dataset.split("@")[0] : "model"), layers: proposal(dataset)};
                    delete job.effort;
                    changed(true);
                })), automatic ? effortField() : modelForm()),
            automatic ? null : optionsForm(),
            h("section", {class: "card"}, h("h2", null, automatic ? "3. Afterwards" : "4. Afterwards"), h("div", {class: "fields"}, at("/publish", field("Serve the new version", select([{value: "", label: "at once (default)"}, {value: "false", label: "not yet"}, {value: "if_better", label: "only if it is better"}], job.publish === undefined ? "" : String(job.publish), {onchange: (/** @type {any} */ event) => set("publish", event.target.value === "false" ? false : event.target.value)}), "What /predict answers with after this run.")))));
    }

    let touched = Boolean(from);
    /** @param {string | undefined} name */
    function nameModel(name) {
        if (name) job.model = {name};
        else delete job.model;
    }

    function effortField() {
        const effort = select([{value: "", label: "balanced (default)"}, {value: "fast", label: "fast: seconds"}, {value: "best", label: "best: takes its time"}], job.effort === "balanced" ? "" : job.effort ?? "", {onchange: () => set("effort", effort.value)});
        const seconds = h("input", {type: "number", min: "0", value: job.max_seconds ?? "", placeholder: "no limit", oninput: () => set("max_seconds", seconds.value === "" ? undefined : Number(seconds.value))});
        const name = h("input", {value: job.model?.name ?? "", autocomplete: "off", oninput: () => {
            nameModel(name.value);
            changed(false);
        }});
        return h("div", {class: "fields"}, at("/model/name", field("Name of the model", name, "Versions are stored under it.")), at("/effort", field("Effort", effort)), at("/max_seconds", field("Seconds at most", seconds, "Keeps what is done by then.")));
    }

    function modelForm() {
        if (typeof job.model === "string") return h("p", null, `The stored model ${job.model}.`);
        const model = job.model ?? {};
        const layers = Array.isArray(model.layers) ? model.layers : [];
        const name = h("input", {value: model.name ?? "", autocomplete: "off", oninput: () => {
            model.name = name.value || undefined;
            changed(false);
        }});
        const kinds = [...COMMON, ...entries.layers.map((/** @type {any} */ entry) => entry.name).filter((/** @type {string} */ one) => !COMMON.includes(one))];
        const adding = select(kinds.map((value) => ({value})), "dense", {"aria-label": "Type of the new layer"});
        const edit = (/** @type {() => void} */ change) => () => {
            touched = true;
            change();
            changed(true);
        };
        return h("div", null, h("div", {class: "fields", style: {"margin-bottom": "12px"}}, at("/model/name", field("Name of the model", name, "Versions are stored under it."))),
            layers.map((/** @type {any} */ layer, /** @type {number} */ i) => {
                const entry = entries.layers.find((/** @type {any} */ one) => one.name === layer.type);
                const params = paramsOf(entries, "layers", layer.type);
                const given = params.filter((param) => param.required || param.name === "activation" || param.name === "rate" || layer[param.name] !== undefined);
                const others = params.filter((param) => !given.includes(param));
                const control = (/** @type {import("../lib/params.js").Param} */ param) => at(`/model/layers/${i}/${param.name}`, paramField(param, layer[param.name], (value) => {
                    touched = true;
                    if (value === undefined) delete layer[param.name];
                    else layer[param.name] = value;
                    changed(false);
                }, entries));
                const box = h("div", {class: "layer"}, h("div", {class: "row"}, h("strong", null, `${i + 1}. ${layer.type}`), h("span", {class: "small muted", style: {flex: "1 1 160px"}}, entry?.summary ?? "unknown type"),
                    h("button", {type: "button", class: "icon", "aria-label": `Move layer ${i + 1} up`, disabled: i === 0, onclick: edit(() => layers.splice(i - 1, 0, ...layers.splice(i, 1)))}, "↑"),
                    h("button", {type: "button", class: "icon", "aria-label": `Move layer ${i + 1} down`, disabled: i === layers.length - 1, onclick: edit(() => layers.splice(i + 1, 0, ...layers.splice(i, 1)))}, "↓"),
                    h("button", {type: "button", class: "icon", "aria-label": `Remove layer ${i + 1}`, onclick: edit(() => layers.splice(i, 1))}, "Remove")),
                h("div", {class: "fields"}, given.map(control)), others.length ? h("details", null, h("summary", null, `${others.length} more settings`), h("div", {class: "fields", style: {"margin-top": "8px"}}, others.map(control))) : null,
                h("div", {class: "fault", id: `layer-${i}-fault`, hidden: true}));
                box.id = `layer-${i}`;
                controls.set(`/model/layers/${i}`, box);
                return box;
            }),
            h("div", {class: "row"}, adding, h("button", {type: "button", onclick: edit(() => {
                /** @type {Record<string, any>} */
                const layer = {type: adding.value};
                for (const param of paramsOf(entries, "layers", adding.value)) if (param.required) layer[param.name] = {units: 32, filters: 16, kernel_size: 3, output_dim: 8, rate: 0.2}[param.name] ?? param.minimum ?? param.choices?.[0] ?? 1;
                if (adding.value === "dense") layer.activation = "relu";
                layers.push(layer);
                model.layers = layers;
            })}, "Add layer")), h("p", {class: "small muted", style: {"margin-top": "8px"}}, "The output layer and the loss follow from the column to predict."));
    }

    function optionsForm() {
        const params = entries.options.find((/** @type {any} */ one) => one.name === "job").params;
        const main = params.filter((/** @type {any} */ param) => OPTIONS.includes(param.name));
        const others = params.filter((/** @type {any} */ param) => !OPTIONS.includes(param.name));
        const control = (/** @type {any} */ param) => at(`/${param.name}`, paramField(param, job[param.name], (value) => set(param.name, value), entries));
        const optimizer = typeof job.optimizer === "string" ? {type: job.optimizer} : job.optimizer ?? {type: "adam"};
        const optimizers = select(entries.optimizers.map((/** @type {any} */ one) => ({value: one.name})), optimizer.type, {onchange: () => {
            job.optimizer = {type: optimizers.value};
            changed(true);
        }});
        const schedule = typeof job.schedule === "string" ? {type: job.schedule} : job.schedule;
        const schedules = select([{value: "", label: "constant (default)"}, ...entries.schedules.map((/** @type {any} */ one) => ({value: one.name}))], schedule?.type ?? "", {onchange: () => {
            if (schedules.value) job.schedule = {type: schedules.value};
            else delete job.schedule;
            changed(true);
        }});
        const fraction = h("input", {type: "number", min: "0", max: "0.9", step: "0.05", value: job.validation?.fraction ?? "", placeholder: "0.2", oninput: () => set("validation", fraction.value === "" ? undefined : {fraction: Number(fraction.value)})});
        const stopping = select([{value: "", label: "when val_loss stops improving (default)"}, {value: "false", label: "after all epochs"}], job.early_stopping === false ? "false" : "", {onchange: () => set("early_stopping", stopping.value === "false" ? false : undefined)});
        return h("section", {class: "card"}, h("h2", null, "3. Training"), h("div", {class: "fields"}, at("/optimizer", field("Optimizer", optimizers, entries.optimizers.find((/** @type {any} */ one) => one.name === optimizer.type)?.summary)),
            paramsOf(entries, "optimizers", optimizer.type).filter((param) => param.name === "learning_rate" || optimizer[param.name] !== undefined).map((param) => at(`/optimizer/${param.name}`, paramField(param, optimizer[param.name], (value) => {
                job.optimizer = {...optimizer, [param.name]: value};
                if (value === undefined) delete job.optimizer[param.name];
                Object.assign(optimizer, job.optimizer);
                changed(false);
            }, entries))),
            at("/schedule", field("Learning rate over the epochs", schedules, schedule ? entries.schedules.find((/** @type {any} */ one) => one.name === schedule.type)?.summary : "")), at("/validation", field("Fraction that validates", fraction, "Rows that are held out to see how good it is.")), at("/early_stopping", field("Stop", stopping)), main.map(control)),
        h("details", null, h("summary", null, `${others.length} more options`), h("div", {class: "fields", style: {"margin-top": "8px"}}, others.map(control))));
    }

    if (!job.dataset && datasets.length === 1) job.dataset = datasets[0].name;
    await loadDataset();
    if (dataset && !job.target) job.target = likelyTarget(dataset);
    show(page.main, head(page, from ? "Train again" : "Train", {about: "Choose a table and a column to predict. Everything else has a default.", actions: h("a", {class: "button", href: "#/sweeps"}, "Search settings")}),
        h("div", {class: "grid"}, h("div", {class: "w7"}, formPlace), h("div", {class: "w5"}, h("section", {class: "card"}, h("h2", null, "What will be trained"), verdict, h("div", {class: "row end"}, start)),
            h("section", {class: "card"}, h("h2", null, "The same as JSON"), jsonBox, jsonFault, h("p", {class: "small muted"}, "Both sides are one job: edit either.")))),
        curlBox(() => [{label: "Start this job", text: curl("POST", "/v1/jobs", job)}, {label: "Check it without training", text: curl("POST", "/v1/models/validate", job)}]));
    if (datasets.length === 0) fill(formPlace, h("div", {class: "card empty"}, h("p", null, "There is no data yet."), h("a", {class: "button primary", href: "#/data?upload"}, "Upload data")));
    else drawForm();
    jsonBox.value = JSON.stringify(job, null, 2);
    start.disabled = true;
    validate();
}
