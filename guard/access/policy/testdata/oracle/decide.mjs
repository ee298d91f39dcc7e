// Answers authorization requests by the official Cedar: one JSON object a line
// on standard input, one a line on standard output.
import { createInterface } from 'node:readline';
import { isAuthorized } from '@cedar-policy/cedar-wasm/nodejs';

for await (const line of createInterface({ input: process.stdin })) {
  const { policies, entities, requests } = JSON.parse(line);
  const answers = requests.map((request) => {
    const got = isAuthorized({ ...request, policies: { staticPolicies: policies }, entities });
    if (got.type !== 'success') throw new Error(`${JSON.stringify(got.errors)}\n${line}`);
    const { decision, diagnostics } = got.response;
    return { decision, by: diagnostics.reason.sort(), failed: diagnostics.errors.map((e) => e.policyId).sort() };
  });
  process.stdout.write(`${JSON.stringify(answers)}\n`);
}
