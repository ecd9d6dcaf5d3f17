// Nothing is here yet: how does telemetry get in? Lines to copy, and a sign that lights up with the first record.
import { useEffect, useState } from 'react'
import { objects, sql } from '../api'
import { plural } from '../format'
import { Copy } from '../parts/Panel'
import { useAsk, useEvery } from '../use'

/** Quick enough to be seen as live. */
const LOOK_MS = 1000

interface Way {
  name: string
  note: string
  text: string
}

function ways(host: string, origin: string): Way[] {
  const now = `$(date +%s)000000000`
  return [
    {
      name: 'An OpenTelemetry SDK',
      note: 'Before your program starts; most SDKs find these ports by themselves.',
      text: `export OTEL_EXPORTER_OTLP_ENDPOINT=http://${host}:4318\nexport OTEL_EXPORTER_OTLP_PROTOCOL=http/protobuf\nexport OTEL_SERVICE_NAME=my-service`,
    },
    {
      name: 'curl',
      note: 'One line of log, to see that it works.',
      text: `curl ${origin}/v1/logs -H 'content-type: application/json' -d '{"resourceLogs":[{"resource":{"attributes":[{"key":"service.name","value":{"stringValue":"hello"}}]},"scopeLogs":[{"logRecords":[{"timeUnixNano":"'${now}'","severityNumber":9,"severityText":"INFO","body":{"stringValue":"the first record"}}]}]}]}'`,
    },
    {
      name: 'The OpenTelemetry Collector',
      note: 'In its configuration, beside the exporters you have.',
      text: `exporters:\n  otlphttp/causeway:\n    endpoint: http://${host}:4318\nservice:\n  pipelines:\n    traces: { receivers: [otlp], exporters: [otlphttp/causeway] }\n    logs: { receivers: [otlp], exporters: [otlphttp/causeway] }\n    metrics: { receivers: [otlp], exporters: [otlphttp/causeway] }`,
    },
    {
      name: 'Nothing to send yet?',
      note: 'A small shop that runs here and breaks after a minute.',
      text: `causeway demo --url ${origin}`,
    },
  ]
}

export function Empty({ arrived }: { arrived: () => void }) {
  const [look, setLook] = useState(0)
  useEvery(LOOK_MS, () => setLook((count) => count + 1))
  const { data } = useAsk(`first ${look}`, async (signal) => objects<{ signal: string; stored: number }>(await sql(`SELECT signal, sum(stored) AS stored FROM ledger WHERE sender <> 'causeway-self' GROUP BY 1 HAVING sum(stored) > 0`, signal)))
  const [seen, setSeen] = useState('')
  useEffect(() => {
    if (data && data.length > 0) setSeen(data.map(({ signal, stored }) => plural(stored, signal.replace(/s$/, ''))).join(', '))
  }, [data])
  return (
    <div className="start">
      <section className="panel live" role="status">
        {seen ? <><span className="dot ok" /><span className="grow"><b>It arrives:</b> {seen} stored.</span><button className="button primary" onClick={arrived} autoFocus>Look at it</button></>
        : <><span className="dot warn pulse" /><span className="grow"><b>Nothing has arrived yet.</b> <span className="soft">This line tells as soon as something does.</span></span></>}
      </section>
      {ways(window.location.hostname, window.location.origin).map((way) => (
        <section className="panel" key={way.name}>
          <header><h2>{way.name}</h2><span className="dim">{way.note}</span></header>
          <div className="body"><div className="code">{way.text}<Copy text={way.text} /></div></div>
        </section>
      ))}
    </div>
  )
}
