/** The operator's page: the pipeline from the sockets to the rows, live. */

import type { ComponentChildren, JSX } from "preact";

import { MessageText } from "../components/message-text";
import type { Calls } from "../lib/markup";
import { alarming, figures } from "./figures";
import { manual } from "./manual";
import { Panel } from "./panel";
import { view } from "./poll";
import { Partitions, Targets, troublesOf } from "./tables";

export function Page(): JSX.Element {
  return (
    <>
      <header class="ops-head">
        <h1>Pipeline</h1>
        <nav aria-label="Elsewhere">
          <a href="/">Chat</a> <a href="/docs">REST</a> <a href="#manual">Manual</a>
        </nav>
      </header>
      <main class="ops-main">
        <Body />
      </main>
    </>
  );
}

function Body(): JSX.Element {
  const now = view.value;
  switch (now.name) {
    case "loading":
      return <p aria-busy="true">Asking the services …</p>;
    case "signed-out":
      return (
        <Notice title="Log in first">
          <a href="/">Log in</a> in the chat as an operator, then come back.
        </Notice>
      );
    case "forbidden":
      return (
        <Notice title="This is for operators">
          Whoever runs this server makes one with <code>chat-service operator grant NAME</code>.
        </Notice>
      );
    case "unreachable":
      return <Notice title="Nobody answers">{now.trouble}. Trying again every two seconds.</Notice>;
    case "live": {
      const last = now.samples.at(-1);
      const alarms = figures.filter((f) => alarming(f, last?.values[f.key])).map((f) => `${f.title}: ${f.about}`);
      const troubles = [...(now.trouble === undefined ? [] : [`${now.trouble}: what is shown is old.`]), ...troublesOf(now.metrics), ...alarms];
      return (
        <>
          <Troubles list={troubles} />
          <div class="ops-panels">
            {figures.map((f) => (
              <Panel key={f.key} figure={f} samples={now.samples} />
            ))}
          </div>
          <Targets targets={now.metrics.targets} />
          {now.metrics.partitions.length > 0 && <Partitions partitions={now.metrics.partitions} />}
          <ManualSection />
        </>
      );
    }
  }
}

/** Told to screen readers when it changes, and only then. */
function Troubles({ list }: { readonly list: readonly string[] }): JSX.Element {
  return (
    <div role="status" class={list.length > 0 ? "ops-troubles" : "ops-fine"} data-testid="ops-troubles">
      {list.length === 0 ? (
        <p>All instances answer, and nothing is above its limit.</p>
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
    <section class="ops-notice" data-testid="ops-notice">
      <h2>{title}</h2>
      <p>{children}</p>
    </section>
  );
}

const nobody: Calls = new Map();

function ManualSection(): JSX.Element {
  return (
    <section id="manual" class="ops-manual" aria-label="Manual">
      <h2>The operator's tools</h2>
      <p>
        <code>sync-service COMMAND</code>, with the settings of the service in the environment. From docs/operations.md.
      </p>
      <dl>
        {manual.tools.map((tool) => (
          <div key={tool.name} id={`tool-${tool.name}`}>
            <dt>
              <MessageText body={tool.command} calls={nobody} />
            </dt>
            <dd>
              <MessageText body={tool.does} calls={nobody} />
            </dd>
          </div>
        ))}
      </dl>
      {manual.advice.map((text) => (
        <MessageText key={text} body={text} calls={nobody} />
      ))}
    </section>
  );
}
