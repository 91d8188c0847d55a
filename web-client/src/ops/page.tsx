/** The operator's page, which shows the pipeline from connections to stored rows in real time. */

import type { ComponentChildren, JSX } from "preact";

import { alarming, figures, mainFigures, otherFigures } from "./figures";
import { clock } from "./format";
import { LargePanel, SmallPanel } from "./panel";
import { view, type View } from "./poll";
import type { Sample } from "./samples";
import { History, Partitions, Targets, troublesOf } from "./tables";

export function Page(): JSX.Element {
  return (
    <>
      <header class="ops-head">
        <h1>Pipeline</h1>
        <nav aria-label="Other pages">
          <a href="/">Chat</a> <a href="/docs">REST API</a> <a href="#manual">Manual</a>
        </nav>
      </header>
      <main class="ops-main" aria-busy={view.value.name === "loading"}>
        <Body now={view.value} />
      </main>
    </>
  );
}

function Body({ now }: { readonly now: View }): JSX.Element {
  switch (now.name) {
    case "loading":
      // Use the same layout as with data, so that nothing moves when the data arrives.
      return (
        <div class="ops-live">
          <Status list={[]}>Loading the figures…</Status>
          <Updated />
          <Panels samples={[]} />
        </div>
      );
    case "signed-out":
      return (
        <Notice title="Sign in first">
          <a href="/">Sign in</a> to the chat as an operator, then return to this page.
        </Notice>
      );
    case "forbidden":
      return (
        <Notice title="Operators only">
          The administrator of this server can make you an operator with <code>chat-service operator grant NAME</code>.
        </Notice>
      );
    case "unreachable":
      return (
        <Notice title="Can't reach the server">
          {now.trouble}. This page tries again every two seconds. Without chat-service, <code>sync-service status</code> shows the state of the
          streams; see <a href="#manual">the operator's tools</a>.
        </Notice>
      );
    case "live":
      return <Live now={now} />;
  }
}

function Live({ now: { metrics, samples, last, trouble } }: { readonly now: View & { readonly name: "live" } }): JSX.Element {
  const alarms = figures.filter((f) => alarming(f, last.values[f.key])).map((f) => `${f.title}: ${f.about}`);
  const stale = trouble !== undefined;
  const outage = stale ? [`${trouble}. Trying again every two seconds. The figures below are those of ${clock(last.at)}.`] : [];
  return (
    <div class={stale ? "ops-live ops-stale" : "ops-live"}>
      <Status list={[...outage, ...troublesOf(metrics), ...alarms]}>All instances are up and no figure exceeds its limit.</Status>
      <Updated at={last.at} />
      <Panels samples={samples} last={last} />
      <History samples={samples} />
      <Targets targets={metrics.targets} />
      {metrics.partitions.length > 0 && <Partitions partitions={metrics.partitions} />}
    </div>
  );
}

function Updated({ at }: { readonly at?: number }): JSX.Element {
  return (
    <p class="ops-updated" data-testid="ops-updated">
      {at === undefined ? "" : `Updated at ${clock(at)}. `}The charts begin when this page is opened and cover ten minutes.
    </p>
  );
}

function Panels({ samples, last }: { readonly samples: readonly Sample[]; readonly last?: Sample }): JSX.Element {
  return (
    <>
      <h2 class="visually-hidden">Figures</h2>
      <div class="ops-mains">
        {mainFigures.map((f) => (
          <LargePanel key={f.key} figure={f} samples={samples} value={last?.values[f.key]} />
        ))}
      </div>
      <div class="ops-others">
        {otherFigures.map((f) => (
          <SmallPanel key={f.key} figure={f} samples={samples} value={last?.values[f.key]} />
        ))}
      </div>
    </>
  );
}

interface StatusProps {
  readonly list: readonly string[];
  /** The text if there are no troubles. */
  readonly children: string;
}

/** Status lists the problems in a live region: screen readers announce it whenever it changes. */
function Status({ list, children }: StatusProps): JSX.Element {
  return (
    <div role="status" class={list.length > 0 ? "ops-troubles" : "ops-fine"} data-testid="ops-troubles">
      {list.length === 0 ? (
        <p>{children}</p>
      ) : (
        <ul>
          {list.map((text) => (
            <li key={text}>{text}</li>
          ))}
        </ul>
      )}
    </div>
  );
}

function Notice({ title, children }: { readonly title: string; readonly children: ComponentChildren }): JSX.Element {
  return (
    <section class="ops-notice" role="status" data-testid="ops-notice">
      <h2>{title}</h2>
      <p>{children}</p>
    </section>
  );
}
