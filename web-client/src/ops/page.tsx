/** The operator's page: the pipeline from connections to stored rows, live. */

import type { ComponentChildren, JSX } from "preact";

import { MessageText } from "../components/message-text";
import type { MentionedNames } from "../lib/markup";
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
        <nav aria-label="Other pages">
          <a href="/">Chat</a> <a href="/docs">REST API</a> <a href="#manual">Manual</a>
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
      return <p aria-busy="true">Loading…</p>;
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
      return <Notice title="Can't reach the server">{now.trouble}. Retrying every two seconds.</Notice>;
    case "live": {
      const last = now.samples.at(-1);
      const alarms = figures.filter((f) => alarming(f, last?.values[f.key])).map((f) => `${f.title}: ${f.about}`);
      const troubles = [...(now.trouble === undefined ? [] : [`${now.trouble}. The figures below are out of date.`]), ...troublesOf(now.metrics), ...alarms];
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

/** A live region: screen readers announce the list whenever it changes. */
function Troubles({ list }: { readonly list: readonly string[] }): JSX.Element {
  return (
    <div role="status" class={list.length > 0 ? "ops-troubles" : "ops-fine"} data-testid="ops-troubles">
      {list.length === 0 ? (
        <p>All instances are up and no figure exceeds its limit.</p>
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

const NO_MENTIONS: MentionedNames = new Map();

function ManualSection(): JSX.Element {
  return (
    <section id="manual" class="ops-manual" aria-label="Manual">
      <h2>The operator's tools</h2>
      <p>
        <code>sync-service COMMAND</code>, with the service's settings in the environment. From docs/operations.md.
      </p>
      <dl>
        {manual.tools.map((tool) => (
          <div key={tool.name} id={`tool-${tool.name}`}>
            <dt>
              <MessageText body={tool.command} mentioned={NO_MENTIONS} />
            </dt>
            <dd>
              <MessageText body={tool.does} mentioned={NO_MENTIONS} />
            </dd>
          </div>
        ))}
      </dl>
      {manual.advice.map((text) => (
        <MessageText key={text} body={text} mentioned={NO_MENTIONS} />
      ))}
    </section>
  );
}
