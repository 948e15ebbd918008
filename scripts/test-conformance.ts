/**
 * `npm run test:conformance`: h2spec, which is built from its Go module into ~/.cache/dormouse where it is missing, against a running gateway. What it finds
 * is held against docs/conformance.md.
 */
import { ensureH2spec } from '../test/conformance/h2spec.ts';
import { runTestsOf } from './run-tests-of.ts';

runTestsOf('test/conformance', ensureH2spec);
