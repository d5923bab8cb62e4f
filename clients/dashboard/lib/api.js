// api.js - requests to the server that sent the page. A problem (RFC 9457) becomes an exception with its places.

export class Problem extends Error {
    /**
     * @param {number} status
     * @param {any} document
     */
    constructor(status, document) {
        super(document?.detail ?? document?.title ?? `the server answered ${status}`);
        this.status = status;
        this.code = document?.code ?? "";
        /** @type {{pointer?: string, line?: number, column?: string, value?: any, detail: string}[]} */
        this.errors = document?.errors ?? [];
    }
}

/**
 * Called when a request needs a key.
 * @type {{run: () => void}}
 */
export const onUnauthorized = {run: () => {}};

/**
 * @param {string} method
 * @param {string} path
 * @param {{body?: any, headers?: Record<string, string>, signal?: AbortSignal}} [options] body: an object is sent as JSON
 * @returns {Promise<Response>}
 */
export async function raw(method, path, options = {}) {
    const {body, signal} = options;
    const headers = {...options.headers};
    const plain = body !== undefined && !(body instanceof Blob) && typeof body !== "string";
    if (plain) headers["Content-Type"] = "application/json";
    let response;
    try {
        response = await fetch(path, {method, headers, signal, body: plain ? JSON.stringify(body) : body, credentials: "same-origin"});
    } catch (error) {
        if (signal?.aborted) throw error;
        throw new Problem(0, {detail: "The server does not answer. It may be restarting; the page tries again by itself.", code: "unreachable"});
    }
    if (response.ok) return response;
    let document = null;
    try {
        document = await response.json();
    } catch {
        // not a problem document: the status says enough
    }
    if (response.status === 401) onUnauthorized.run();
    throw new Problem(response.status, document);
}

/**
 * @param {string} method
 * @param {string} path
 * @param {any} [body]
 * @param {AbortSignal} [signal]
 * @returns {Promise<any>}
 */
export async function request(method, path, body, signal) {
    const response = await raw(method, path, {body, signal});
    return response.status === 204 ? null : response.json();
}

/**
 * @param {string} path
 * @param {AbortSignal} [signal]
 * @returns {Promise<any>}
 */
export const get = (path, signal) => request("GET", path, undefined, signal);
/**
 * @param {string} path
 * @param {any} body
 * @param {AbortSignal} [signal]
 * @returns {Promise<any>}
 */
export const post = (path, body, signal) => request("POST", path, body, signal);

/**
 * An explanation; of a large model, of as many rows as the server can do in a request.
 * @param {string} path
 * @param {any} body
 * @param {AbortSignal} [signal]
 */
export async function explain(path, body, signal) {
    try {
        return await post(path, body, signal);
    } catch (error) {
        const possible = error instanceof Problem ? /"rows": (\d+)/.exec(error.errors.find((one) => one.pointer === "/rows")?.detail ?? "") : null;
        if (!possible) throw error;
        return post(path, {...body, rows: Math.max(1, Math.floor(Number(possible[1]) / 4))}, signal); // some seconds, not half a minute
    }
}

/**
 * All pages of a list, at most `limit` items.
 * @param {string} path
 * @param {number} [limit]
 */
export async function list(path, limit = 1000) {
    /** @type {any[]} */
    const all = [];
    let after = "";
    for (;;) {
        const page = await get(`${path}${path.includes("?") ? "&" : "?"}limit=${Math.min(200, limit - all.length)}${after}`);
        all.push(...page.data);
        if (!page.has_more || all.length >= limit) return all;
        after = `&after=${encodeURIComponent(page.last_id)}`;
    }
}

/**
 * The first rows of a dataset, page by page.
 * @param {string} dataset
 * @param {number} most
 * @param {AbortSignal} [signal]
 */
export async function firstRows(dataset, most, signal) {
    /** @type {any[]} */
    const rows = [];
    for (;;) {
        const page = await get(`/v1/datasets/${encodeURIComponent(dataset)}/rows?limit=${Math.min(1000, most - rows.length)}&offset=${rows.length}`, signal);
        rows.push(...page.data);
        if (!page.has_more || rows.length >= most) return rows;
    }
}

/**
 * With its progress, which fetch does not have for what is sent.
 * @param {string} path
 * @param {Blob} body
 * @param {string} type
 * @param {(fraction: number) => void} progress
 * @returns {{done: Promise<any>, abort: () => void}}
 */
export function upload(path, body, type, progress) {
    const sender = new XMLHttpRequest();
    const done = new Promise((resolve, reject) => {
        sender.open("POST", path);
        sender.setRequestHeader("Content-Type", type || "application/octet-stream");
        sender.upload.onprogress = (event) => event.lengthComputable && progress(event.loaded / event.total);
        sender.onload = () => {
            let document = null;
            try {
                document = JSON.parse(sender.responseText);
            } catch {
                // the status says enough
            }
            if (sender.status >= 200 && sender.status < 300) resolve(document);
            else reject(new Problem(sender.status, document));
        };
        sender.onerror = () => reject(new Problem(0, {detail: "The connection broke during the upload. Nothing was stored; try again."}));
        sender.onabort = () => reject(new Problem(0, {detail: "The upload was cancelled. Nothing was stored."}));
        sender.send(body);
    });
    return {done, abort: () => sender.abort()};
}

/** @param {string} text */
const quoted = (text) => `'${text.replaceAll("'", "'\\''")}'`;

/**
 * The same request for a shell.
 * @param {string} method
 * @param {string} path
 * @param {any} [body] an object, or {file, type}
 * @param {string[]} [headers]
 */
export function curl(method, path, body, headers = []) {
    const parts = ["curl"];
    if (method !== "GET" && !(method === "POST" && body !== undefined)) parts.push("-X", method);
    parts.push(quoted(location.origin + path));
    for (const header of headers) parts.push("-H", quoted(header));
    if (body?.file) parts.push("-H", quoted(`Content-Type: ${body.type}`), "--data-binary", quoted(`@${body.file}`));
    else if (body !== undefined) parts.push("-H", "'Content-Type: application/json'", "-d", quoted(JSON.stringify(body)));
    if (keyNeeded.value) parts.push("-H", '"Authorization: Bearer $KEY"');
    return parts.join(" ");
}
/** Whether curl must send a key. */
export const keyNeeded = {value: false};
