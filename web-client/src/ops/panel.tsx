/** One metric: its name, value and chart, and the commands to run if its alert fires. */

import type { JSX } from "preact";

import { Chart } from "./chart";
import { Command } from "./command";
import { type Alert, alarming, type Figure } from "./figures";
import { measured, shown } from "./format";
import type { Sample } from "./samples";

export interface PanelProps {
  readonly figure: Figure;
  readonly samples: readonly Sample[];
  /** The current value, or the last known one while the server is unreachable. */
  readonly value: number | undefined;
}

/** LargePanel shows a metric's chart with axes, its description, its alert and its commands. */
export function LargePanel(props: PanelProps): JSX.Element {
  const { figure, samples } = props;
  return (
    <Frame {...props} size="ops-large">
      <Chart figure={figure} samples={samples} large />
      <About figure={figure} />
    </Frame>
  );
}

/**
 * SmallPanel shows a metric's chart without axes. The description is collapsed unless the metric
 * exceeds its limit.
 */
export function SmallPanel(props: PanelProps): JSX.Element {
  const { figure, samples, value } = props;
  return (
    <Frame {...props} size="ops-small">
      <Chart figure={figure} samples={samples} />
      <details open={alarming(figure, value)}>
        <summary>About</summary>
        <About figure={figure} />
      </details>
    </Frame>
  );
}

interface FrameProps extends PanelProps {
  readonly size: string;
  readonly children: readonly JSX.Element[];
}

function Frame({ figure, value, size, children }: FrameProps): JSX.Element {
  const alarm = alarming(figure, value);
  return (
    <section class={`ops-panel ${size}${alarm ? " ops-alarm" : ""}`} aria-label={figure.title} data-testid={`ops-${figure.key}`} data-value={value ?? ""}>
      <hgroup>
        <h3>{figure.title}</h3>
        <p class="ops-value">
          <strong>{shown(value)}</strong> {figure.unit}
        </p>
        {alarm && <p class="ops-badge">{figure.alert?.name}</p>}
      </hgroup>
      {children}
    </section>
  );
}

function About({ figure }: { readonly figure: Figure }): JSX.Element {
  return (
    <>
      <p class="ops-about">
        {figure.about} {figure.alert !== undefined && conditionOf(figure.alert, figure.unit)}
      </p>
      {figure.commands.length > 0 && (
        <ul class="ops-commands">
          {figure.commands.map((line) => (
            <Command key={line} line={line} />
          ))}
        </ul>
      )}
    </>
  );
}

/** conditionOf describes when an alert fires: "Alert: above 60 s for 5 min." */
export function conditionOf({ above, period }: Alert, unit: string): string {
  const duration = period === "" ? "" : ` for ${period.replace(/m$/, " min").replace(/s$/, " s").replace(/h$/, " h")}`;
  return `Alert: above ${measured(above, unit)}${duration}.`;
}
