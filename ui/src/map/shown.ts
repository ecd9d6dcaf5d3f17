// What is drawn of the services, and how is each number said on the map? The same words for lines, nodes and screen readers.
import type { Call, MapService, Rates } from '../api'
import { milliseconds, rate, share } from '../format'

/** Nodes that are drawn, the busiest; a map of more is no map, and the tables have all. */
export const NODES_MAX = 60
/** Of the lines, the thinnest and the widest. */
const WIDTH_MIN = 1.25
const WIDTH_MAX = 7

/** What a call is called in the URL. */
export const callName = ({ client, server, kind }: Pick<Call, 'client' | 'server' | 'kind'>) => JSON.stringify([client, server, kind])

export const failedShare = ({ requests, failed }: Rates) => (requests > 0 ? Math.min(1, failed / requests) : 0)

/** The busiest services, with the calls between them. */
export function shown(services: MapService[], calls: Call[]): { nodes: MapService[]; lines: Call[] } {
  // Whoever calls from outside has no numbers, but begins every way through the system.
  const nodes = services.toSorted((one, other) => Number(other.kind === 'user') - Number(one.kind === 'user')).slice(0, NODES_MAX)
  const names = new Set(nodes.map(({ name }) => name))
  return { nodes, lines: calls.filter(({ client, server }) => names.has(client) && names.has(server)) }
}

/** As wide as it is busy, by orders of magnitude below the busiest. */
export function lineWidth(requests: number, most: number): number {
  if (requests <= 0 || most <= 0) return WIDTH_MIN
  return Math.max(WIDTH_MIN, WIDTH_MAX + 2 * Math.log10(requests / most))
}

/** How red, in percent: any failure is seen, a tenth of all is full. */
export const redness = (failed: number) => (failed <= 0 ? 0 : Math.round(Math.min(100, 40 + failed * 600)))

export const isBad = (rates: Rates) => failedShare(rates) >= 0.01

/** For who hears the map. */
export const ratesInWords = (rates: Rates, seconds: number) => `${rate(rates.requests / seconds)}, ${share(failedShare(rates))} failed, 95th percentile ${milliseconds(rates.p95_ms)}`
