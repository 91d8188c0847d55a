/** The details behind the charts: metrics by minute, by instance and by partition. */

import type { OpsMetrics, OpsPartition, OpsTarget } from "@parley/client";
import type { JSX } from "preact";
import { useState } from "preact/hooks";

import { figures } from "./figures";
import { minuteClock, shown } from "./format";
import { byMinute, type Sample } from "./samples";

/** servicesOf determines which services an instance runs from the metrics that it reports. */
export function servicesOf({ figures, up }: OpsTarget): string {
  const names = [
    figures.requests !== null ? "chat-service" : "",
    figures.connections !== null ? "ws-server" : "",
    figures.inserted !== null ? "sync-service" : "",
  ].filter((name) => name !== "");
  return !up ? "" : names.length === 0 ? "no Parley service" : names.join(", ");
}

const number = (value: number | null): string => (value === null ? "" : shown(value));

/**
 * History shows the charts as a table. The table is rendered only while it is open, because it
 * changes often.
 */
export function History({ samples }: { readonly samples: readonly Sample[] }): JSX.Element {
  const [open, setOpen] = useState(false);
  return (
    <details class="ops-history" onToggle={(event) => setOpen(event.currentTarget.open)} data-testid="ops-history">
      <summary>The last ten minutes as a table</summary>
      {open && (
        <Table name="Highest value in each minute" heads={["Time", ...figures.map((f) => headOf(f.title, f.unit))]}>
          {byMinute(samples).map(({ at, values }) => (
            <tr key={at}>
              <th scope="row">{minuteClock(at)}</th>
              {figures.map((f) => (
                <td key={f.key}>{shown(values[f.key])}</td>
              ))}
            </tr>
          ))}
        </Table>
      )}
    </details>
  );
}

const headOf = (title: string, unit: string): string => (unit === "" ? title : `${title}, ${unit}`);

export function Targets({ targets }: { readonly targets: readonly OpsTarget[] }): JSX.Element {
  return (
    <Table name="Instances" heads={["Instance", "Services", "State", "Connections", "Sends", "Deliveries", "Rows", "Requests"]}>
      {targets.map((t) => (
        <tr key={t.url} class={t.up ? "" : "ops-down"} data-testid="ops-target" data-up={t.up}>
          <th scope="row">{t.url}</th>
          <td>{servicesOf(t)}</td>
          <td>{t.up ? "up" : `down: ${t.problem ?? ""}`}</td>
          <td>{number(t.figures.connections)}</td>
          <td>{number(t.figures.sends)}</td>
          <td>{number(t.figures.deliveries)}</td>
          <td>{number(t.figures.inserted)}</td>
          <td>{number(t.figures.requests)}</td>
        </tr>
      ))}
    </Table>
  );
}

export function Partitions({ partitions }: { readonly partitions: readonly OpsPartition[] }): JSX.Element {
  return (
    <Table name="Partitions" heads={["Partition", "Stream", "Lag", "Oldest", "Pending", "Dead"]}>
      {partitions.map((p) => (
        <tr key={p.partition} class={p.dead > 0 ? "ops-down" : ""}>
          <th scope="row">{p.partition}</th>
          <td>{shown(p.entries)}</td>
          <td>{shown(p.lag_entries)}</td>
          <td>{shown(p.lag_seconds)} s</td>
          <td>{shown(p.pending)}</td>
          <td>{shown(p.dead)}</td>
        </tr>
      ))}
    </Table>
  );
}

interface TableProps {
  readonly name: string;
  readonly heads: readonly string[];
  readonly children: readonly JSX.Element[];
}

/**
 * Table scrolls horizontally on a narrow page. It can receive the focus, so that users can also
 * scroll it with the keyboard.
 */
function Table({ name, heads, children }: TableProps): JSX.Element {
  return (
    <div class="ops-table" role="region" aria-label={name} tabIndex={0}>
      <table>
        <caption>{name}</caption>
        <thead>
          <tr>
            {heads.map((head) => (
              <th key={head} scope="col">
                {head}
              </th>
            ))}
          </tr>
        </thead>
        <tbody>{children}</tbody>
      </table>
    </div>
  );
}

/** troublesOf returns the problems that no single metric shows. */
export function troublesOf(metrics: OpsMetrics): readonly string[] {
  const down = metrics.targets.filter((t) => !t.up).map((t) => `${t.url} is down: ${t.problem ?? ""}.`);
  if (!metrics.streams.known) {
    down.push("The state of the streams is unknown. Check that a sync-service is running and that Redis is up.");
  }
  return down;
}
