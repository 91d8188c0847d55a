/** One figure: its name, current value, chart, and the commands for it. */

import type { JSX } from "preact";

import { Chart } from "./chart";
import { Command } from "./command";
import { alarming, type Figure, shown } from "./figures";
import type { Sample } from "./samples";

export function Panel({ figure, samples }: { readonly figure: Figure; readonly samples: readonly Sample[] }): JSX.Element {
  const value = samples.at(-1)?.values[figure.key];
  const alarm = alarming(figure, value);
  return (
    <section class={alarm ? "ops-panel ops-alarm" : "ops-panel"} aria-label={figure.title} data-testid={`ops-${figure.key}`} data-value={value ?? ""}>
      <h2>{figure.title}</h2>
      <p class="ops-value">
        <strong>{shown(value)}</strong> {figure.unit}
        {alarm && <span class="ops-badge">{figure.alert?.name}</span>}
      </p>
      <Chart figure={figure} samples={samples} />
      <p class="ops-about">
        {figure.about}
        {figure.alert !== undefined && ` Alert: above ${shown(figure.alert.above)} ${figure.unit}`.trimEnd()}
      </p>
      {figure.commands.length > 0 && (
        <ul class="ops-commands">
          {figure.commands.map((line) => (
            <Command key={line} line={line} />
          ))}
        </ul>
      )}
    </section>
  );
}
