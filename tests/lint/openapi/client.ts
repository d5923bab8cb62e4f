// A program against a client generated from the served document, as people write it: it must compile under `tsc --strict`. It is never run.
import type { components, paths } from "./api";

type Job = components["schemas"]["JobRequest"];
type Layer = components["schemas"]["Layer"];
type Prediction = components["schemas"]["Prediction"];
type Predict = paths["/v1/models/{model}/predict"]["post"]["requestBody"]["content"]["application/json"];

// Only what a job needs: everything with a default may be left out. `type` distinguishes layers.
const smallest: Job = { model: { layers: [] }, dataset: "iris", target: "class" };
const layers: Layer[] = [
  { type: "dense", units: 32, activation: "relu" },
  { type: "dropout", rate: 0.2 },
  "flatten",
  { type: "conv2d", filters: 8, kernel_size: [3, 3], padding: "same", name: "picture", inputs: ["image"] },
  { type: "dense", units: 4, activation: { type: "leaky_relu", negative_slope: 0.1 }, kernel_initializer: "he_normal" },
];
const whole: Job = {
  model: { name: "m", layers, loss: { type: "huber", delta: 2 }, metrics: ["mae"] },
  dataset: { records: [{ a: 1, b: null, t: [1, 2], y: "x" }] },
  target: ["y", "z"],
  epochs: 10,
  optimizer: { type: "adam", learning_rate: "auto" },
  schedule: { type: "cosine", warmup_epochs: 2 },
  early_stopping: { patience: 5 },
  validation: { folds: 5 },
  columns: { a: { scale: "robust" } },
};

// @ts-expect-error: there is no such layer
const noLayer: Layer = { type: "dens", units: 3 };
// @ts-expect-error: a dense layer needs its units
const noUnits: Layer = { type: "dense", activation: "relu" };
// @ts-expect-error: units is not a parameter of dropout
const noParameter: Layer = { type: "dropout", rate: 0.1, units: 3 };
// @ts-expect-error: no job without a target
const noTarget: Job = { model: "m", dataset: "iris" };

// Narrowing by `type`.
export function units(layer: Layer): number | undefined {
  return typeof layer === "object" && layer.type === "dense" ? layer.units : undefined;
}

// Instances as objects or arrays.
export const objects: Predict = { instances: [{ a: 1, island: "Biscoe", missing: null }] };
export const arrays: Predict = { instances: [[1, "Biscoe", null], [[1, 2], [3, 4]]] };

// The members distinguish predictions.
export function shown(prediction: Prediction): string[] {
  return prediction.predictions.map((p) => {
    if ("probabilities" in p && "label" in p) return `${p.label} (${p.probabilities[p.label]?.toFixed(2)})`;
    if ("value" in p) return p.value.toFixed(3) + (p.distribution ? ` ± ${p.distribution.deviation}` : "");
    if ("outputs" in p) return Object.keys(p.outputs).join();
    if ("scores" in p && "label" in p) return p.label;
    return "a tensor";
  });
}

export default [smallest, whole, noLayer, noUnits, noParameter, noTarget];
