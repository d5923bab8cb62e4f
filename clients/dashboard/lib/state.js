// state.js - the one store of state: what the server said last. Requests fill it, the event stream keeps it current, views subscribe to a topic.
import {get, keyNeeded, list} from "./api.js";
import {follow} from "./stream.js";

/** @typedef {Record<string, any> & {id: string, status: string}} Job */

/** @type {Map<string, Set<(detail: any) => void>>} */
const listeners = new Map();

/**
 * Topics: "connection", "jobs", "job:ID", "points:ID", "log:ID", "session".
 * @param {string} topic
 * @param {(detail: any) => void} listener
 * @param {AbortSignal} signal ends the subscription
 */
export function on(topic, listener, signal) {
    const set = listeners.get(topic) ?? new Set();
    listeners.set(topic, set);
    set.add(listener);
    signal.addEventListener("abort", () => set.delete(listener));
}

/**
 * @param {string} topic
 * @param {any} [detail]
 */
export function tell(topic, detail) {
    listeners.get(topic)?.forEach((listener) => listener(detail));
}

export const state = {
    /** @type {Map<string, Job>} */
    jobs: new Map(),
    jobsLoaded: false,
    connected: false,
    /** @type {{key_required: boolean, signed_in: boolean, scope: string, name: string | null} | null} */
    session: null,
};

/**
 * Runs at most once in that time while the topic has news.
 * @param {string} topic
 * @param {() => Promise<void> | void} run
 * @param {number} ms
 * @param {AbortSignal} signal
 */
export function soon(topic, run, ms, signal) {
    let waiting = 0;
    on(topic, () => {
        if (!waiting) waiting = window.setTimeout(() => {
            waiting = 0;
            Promise.resolve(run()).catch(() => {});
        }, ms);
    }, signal);
    signal.addEventListener("abort", () => clearTimeout(waiting));
}

/** @param {Job} job */
export function keep(job) {
    const before = state.jobs.get(job.id);
    state.jobs.set(job.id, {...before, ...job});
    tell(`job:${job.id}`, state.jobs.get(job.id));
    tell("jobs");
}

/**
 * Requests for the same job that come together are one.
 * @type {Set<string>}
 */
const wanted = new Set();
/** @param {string} id */
function refresh(id) {
    if (wanted.has(id)) return;
    wanted.add(id);
    setTimeout(async () => {
        wanted.delete(id);
        try {
            keep(await get(`/v1/jobs/${id}`));
        } catch {
            // deleted, or the server restarts: the next connection refreshes all
        }
    }, 120);
}

/** @param {import("./stream.js").JobEvent} event */
function take(event) {
    const job = state.jobs.get(event.job);
    if (event.type === "metrics") {
        tell(`points:${event.job}`, event.data);
        if (!job || (event.data.epoch ?? 0) % 50 === 0) refresh(event.job);
        else if (event.data.fold === undefined) {
            const {layers, ...metrics} = event.data;
            job.metrics = {...job.metrics, ...metrics};
            if (job.progress) {
                job.progress = {...job.progress, epoch: event.data.epoch, fraction: event.data.epoch / (job.progress.epochs || 1)};
            }
            tell(`job:${event.job}`, job);
        }
        return;
    }
    if (event.type === "log") tell(`log:${event.job}`, event);
    refresh(event.job);
}

/** What lists show of a job; the page of a run asks for all of it. */
const LISTED = "id,kind,status,model,dataset,created_at,started_at,finished_at,priority,queue_position,progress,metrics,error";

export async function loadJobs() {
    const jobs = await list(`/v1/jobs?fields=${LISTED}`, 400);
    const seen = new Set(jobs.map((job) => job.id));
    for (const id of [...state.jobs.keys()]) if (!seen.has(id) && jobs.length < 400) state.jobs.delete(id);
    for (const job of jobs) state.jobs.set(job.id, {...state.jobs.get(job.id), ...job});
    state.jobsLoaded = true;
    tell("jobs");
    for (const job of jobs) tell(`job:${job.id}`, state.jobs.get(job.id));
}

/** @type {(() => void) | null} */
let close = null;

/** Follows the events of all jobs, from now on and again after every break. */
export function connect() {
    close?.();
    close = follow("/v1/events", {
        event: take,
        open: () => {
            state.connected = true;
            tell("connection", true);
            loadJobs().catch(() => {});
        },
        broken: () => {
            if (!state.connected) return;
            state.connected = false;
            tell("connection", false);
        },
    });
}

export function disconnect() {
    close?.();
    close = null;
}

export async function loadSession() {
    state.session = await get("/v1/session");
    keyNeeded.value = Boolean(state.session?.key_required);
    tell("session");
    return state.session;
}

/**
 * What does not change while the server runs.
 * @type {Promise<any> | null}
 */
let catalogRequest = null;
/** @returns {Promise<any>} */
export function catalog() {
    catalogRequest = catalogRequest ?? get("/v1/catalog").catch((error) => {
        catalogRequest = null;
        throw error;
    });
    return catalogRequest;
}
