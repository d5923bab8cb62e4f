// home.js - an empty server greets with sample data and one button each; later, what happened last.
import {curl, list, post, raw} from "../lib/api.js";
import {fill, h} from "../lib/dom.js";
import {plural, when, number} from "../lib/format.js";
import {action, curlBox, head, show, statusChip} from "../lib/page.js";
import {soon, state} from "../lib/state.js";

const samples = [
    {name: "penguins", title: "Penguins", target: "species", about: "344 penguins of three species, measured on three islands of Antarctica. Some cells are missing. Predict the species.", rows: 344,
        job: {seed: 7, epochs: 200, model: {name: "penguins", layers: [{type: "dense", units: 32, activation: "relu"}, {type: "dense", units: 16, activation: "relu"}]}, optimizer: {type: "adam", learning_rate: 0.003}}},
    {name: "spirals", title: "Two spirals", target: "arm", about: "600 points on two arms that wind around each other. A linear model cannot tell them apart; a small network can. Two inputs, so you can watch the boundary.", rows: 600,
        job: {seed: 7, epochs: 600, model: {name: "spirals", layers: [{type: "dense", units: 24, activation: "tanh"}, {type: "dense", units: 24, activation: "tanh"}]}, optimizer: {type: "adam", learning_rate: 0.01}, early_stopping: false}},
    {name: "diabetes", title: "Diabetes", target: "progression", about: "442 patients with ten measurements each, and how far their disease had progressed a year later. Predict that number; nobody can do so exactly.", rows: 442,
        job: {seed: 7, epochs: 200, model: {name: "diabetes", layers: [{type: "dense", units: 32, activation: "relu"}, {type: "dropout", rate: 0.2}]}, optimizer: {type: "adam", learning_rate: 0.003}, l2: 0.001}},
];

/** @param {typeof samples[number]} sample */
async function train(sample) {
    const datasets = await list("/v1/datasets", 1000);
    if (!datasets.some((one) => one.name === sample.name)) {
        const csv = await (await raw("GET", `/dashboard/samples/${sample.name}.csv`)).text();
        await raw("POST", `/v1/datasets?name=${sample.name}`, {body: csv, headers: {"Content-Type": "text/csv"}});
    }
    const job = await post("/v1/jobs", {dataset: sample.name, target: sample.target, ...sample.job});
    location.hash = `#/runs/${job.id}`;
}

function sampleCards() {
    return h("div", {class: "cards"}, samples.map((sample) => h("section", {class: "card"}, h("h2", null, sample.title), h("p", null, sample.about), h("p", {class: "small muted"}, `${number(sample.rows)} rows, target ${sample.target}`),
        action("Train on it", () => train(sample), {class: "primary", "aria-label": `Train on ${sample.title}`}))));
}

/** @param {import("../lib/page.js").Page} page */
export default async function home(page) {
    const [datasets, models] = await Promise.all([list("/v1/datasets", 200), list("/v1/models", 200)]);
    const empty = datasets.length === 0;
    const recent = h("div");
    const showRecent = () => {
        const jobs = [...state.jobs.values()].sort((a, b) => (a.created_at < b.created_at ? 1 : -1)).slice(0, 6);
        fill(recent, jobs.length === 0 ? h("p", {class: "muted"}, "No run yet.") : h("div", {class: "scroll"}, h("table", null,
            h("thead", null, h("tr", null, ["Run", "Status", "Data", "Loss", "Started"].map((name) => h("th", {scope: "col"}, name)))),
            h("tbody", null, jobs.map((job) => h("tr", null, h("td", null, h("a", {href: `#/runs/${job.id}`}, job.model || job.id)), h("td", null, statusChip(job.status)), h("td", null, job.dataset?.name ?? ""), h("td", null, number(job.metrics?.val_loss ?? job.metrics?.loss)), h("td", null, when(job.created_at))))))));
    };
    show(page.main,
        head(page, empty ? "Train a neural network in a minute" : "Start", {about: empty ? "This server is empty. Try it on one of these tables, or bring your own." : `${plural(datasets.length, "dataset")}, ${plural(models.length, "model")}.`,
            actions: [h("a", {class: `button ${empty ? "" : "primary"}`, href: "#/data?upload"}, "Upload data"), empty ? null : h("a", {class: "button", href: "#/train"}, "Train")]}),
        empty ? sampleCards() : null,
        h("section", {class: "card"}, h("h2", null, "Latest runs"), recent),
        empty ? null : h("section", null, h("h2", null, "Sample data"), sampleCards()),
        curlBox(() => [{label: "The latest runs", text: curl("GET", "/v1/jobs?limit=6")}, {label: "Train on the penguins", text: curl("POST", "/v1/jobs", {dataset: "penguins", target: "species", ...samples[0].job})}]));
    showRecent();
    soon("jobs", showRecent, 300, page.signal);
}
