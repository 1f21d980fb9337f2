// What the SDK itself makes of predicates, mappers and event ids: cases as JSON lines in, answers as JSON lines out.
import { createInterface } from "node:readline";
import { deriveStableEventId, evaluatePredicate, projectInput } from "@voyant-travel/workflows/events";

function attempt(work) {
  try {
    const value = work();
    return value === undefined ? { absent: true } : { value };
  } catch {
    return { error: true };
  }
}

for await (const line of createInterface({ input: process.stdin })) {
  const { predicate, mapper, envelope } = JSON.parse(line);
  console.log(
    JSON.stringify({
      fits: attempt(() => evaluatePredicate(predicate, envelope)),
      input: attempt(() => projectInput(mapper, envelope)),
      id: await deriveStableEventId(envelope),
    }),
  );
}
