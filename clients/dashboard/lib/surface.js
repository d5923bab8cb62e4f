// surface.js - the plane of two inputs, coloured by what a network says there, with the points that it learns from.

const COLORS = ["--s0", "--s1", "--s2", "--s3", "--s4", "--s5", "--s6", "--s7"];

/**
 * @param {string} hex
 * @returns {number[]}
 */
const rgb = (hex) => [1, 3, 5].map((i) => parseInt(hex.slice(i, i + 2), 16));

/**
 * @param {HTMLCanvasElement} canvas
 * @param {number} size cells along each side
 * @param {number[][]} shares probabilities of the classes by cell, the top row first
 * @param {{x: number, y: number, kind: number, large?: boolean}[]} points x and y from 0 to 1, y upwards
 */
export function drawSurface(canvas, size, shares, points) {
    const context = /** @type {CanvasRenderingContext2D} */ (canvas.getContext("2d", {willReadFrequently: true}));
    const style = getComputedStyle(document.documentElement);
    const colors = COLORS.map((name) => rgb(style.getPropertyValue(name).trim()));
    const card = rgb(style.getPropertyValue("--card").trim());
    const cell = canvas.width / size;
    shares.forEach((parts, i) => {
        const mixed = [0, 1, 2].map((c) => parts.reduce((sum, share, k) => sum + share * colors[k % 8][c], 0) * 0.55 + card[c] * 0.45);
        context.fillStyle = `rgb(${mixed.map(Math.round).join(" ")})`;
        context.fillRect((i % size) * cell, Math.floor(i / size) * cell, Math.ceil(cell), Math.ceil(cell));
    });
    for (const point of points) {
        context.beginPath();
        context.arc(point.x * canvas.width, (1 - point.y) * canvas.height, point.large ? 9 : 5, 0, 7);
        context.fillStyle = `rgb(${colors[point.kind % 8].join(" ")})`;
        context.strokeStyle = style.getPropertyValue(point.large ? "--text" : "--card");
        context.lineWidth = point.large ? 3 : 1.5;
        context.fill();
        context.stroke();
    }
}
