// stream.js - server-sent events over fetch, which unlike EventSource can send a header and survives every kind of failure: it connects again until it is
// closed, and resumes after the last event that came.

/**
 * @typedef {{id: string, job: string, type: string, created_at: string, level: string, message: string | null, attempt: number, data: any}} JobEvent
 */

/**
 * @param {string} path
 * @param {{event: (event: JobEvent) => void, open: () => void, broken: () => void}} to open: at every connection, also the first
 * @returns {() => void} closes it
 */
export function follow(path, to) {
    const stopped = new AbortController();
    let last = "";
    let delay = 500;

    /** @param {string} block */
    function take(block) {
        let data = "";
        for (const line of block.split("\n")) {
            if (line.startsWith("id:")) last = line.slice(3).trim();
            else if (line.startsWith("data:")) data += line.slice(5);
        }
        if (data) to.event(JSON.parse(data));
    }

    async function read() {
        /** @type {Record<string, string>} */
        const headers = {Accept: "text/event-stream"};
        if (last) headers["Last-Event-ID"] = last;
        const response = await fetch(path, {headers, signal: stopped.signal, credentials: "same-origin"});
        if (!response.ok || !response.body) throw new Error(String(response.status));
        delay = 500;
        to.open();
        const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
        let rest = "";
        for (;;) {
            const {value, done} = await reader.read();
            if (done) return;
            rest += value;
            const blocks = rest.split("\n\n");
            rest = blocks.pop() ?? "";
            blocks.forEach(take);
        }
    }

    (async () => {
        while (!stopped.signal.aborted) {
            try {
                await read();
            } catch {
                // a restart, a lost network, a session that ended: connect again below
            }
            if (stopped.signal.aborted) return;
            to.broken();
            await new Promise((resolve) => setTimeout(resolve, delay));
            delay = Math.min(delay * 1.6, 5000);
        }
    })();
    return () => stopped.abort();
}
