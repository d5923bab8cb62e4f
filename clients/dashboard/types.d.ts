// types.d.ts - what the dashboard uses of dygraphs 2.2 (vendor/dygraph.js, a global).
interface DygraphPoint { name: string; xval: number; yval: number; canvasx: number; canvasy: number }
interface DygraphArea { x: number; y: number; w: number; h: number }
declare class Dygraph {
    constructor(element: HTMLElement, data: (number | null)[][], options: Record<string, any>);
    updateOptions(options: Record<string, any>, blockRedraw?: boolean): void;
    xAxisRange(): [number, number];
    toDomXCoord(x: number): number;
    resetZoom(): void;
    isZoomed(): boolean;
    destroy(): void;
    static PLUGINS: unknown[];
    static Plugins: Record<string, unknown>;
}
