/** Shows a confirmation dialog, alone or on top of another dialog. */

import type { JSX } from "preact";

import { Button } from "../components/button";
import { Confirmation } from "../components/confirmation";
import { closeQuestion, type Question } from "../state/dialog";
import { testids } from "../testids";

export default function QuestionDialog({ about }: { readonly about: Question }): JSX.Element {
  const { title, text, action, typed, alternative, work } = about;
  return (
    <Confirmation
      key={title}
      title={title}
      action={action}
      testid={testids.confirm}
      typed={typed}
      alternative={
        alternative && (
          <Button onClick={alternative.choose} testid={testids.alternative}>
            {alternative.action}
          </Button>
        )
      }
      onClose={closeQuestion}
      work={work}
    >
      <p>{text}</p>
    </Confirmation>
  );
}
