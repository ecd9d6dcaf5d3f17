// How is a part of a chart chosen by keyboard? A cell under a cursor that the arrows move, and a corner that stays with Shift. A chart
// of one level is a stretch of time.

interface Spot {
  column: number
  level: number
}

export interface Cursor extends Spot {
  /** The opposite corner of the rectangle. */
  from: Spot
}

/** The columns and levels that there are, both ends included. */
export interface Bounds {
  columns: number
  low: number
  high: number
}

/** Cells that Page Up and Page Down pass over. */
const PAGE = 10

const MOVES: Record<string, [number, number]> = {
  ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1],
  Home: [-Infinity, 0], End: [Infinity, 0], PageUp: [0, PAGE], PageDown: [0, -PAGE],
}

const within = (value: number, low: number, high: number) => Math.min(Math.max(value, low), high)

/** Where a key leads; null where it is for something else. The first key begins in the middle of the newest column. */
export function moved(cursor: Cursor | null, key: string, extend: boolean, { columns, low, high }: Bounds): Cursor | null {
  const move = MOVES[key]
  if (!move || (move[0] === 0 && low === high)) return null
  const begin = { column: columns - 1, level: Math.round((low + high) / 2) }
  const here = cursor ?? { ...begin, from: begin }
  const spot = cursor ? { column: within(here.column + move[0], 0, columns - 1), level: within(here.level + move[1], low, high) } : begin
  return { ...spot, from: extend ? here.from : spot }
}
