import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { compileLabelSelector, compileSelector, matchesLabels, selectorText } from './selectors.ts';

describe('label selectors', () => {
  const labels = { app: 'web', 'app.kubernetes.io/name': 'shop', tier: 'front', empty: '' };
  const cases: [string, boolean][] = [
    ['', true],
    ['app=web', true],
    ['app==web', true],
    [' app = web , tier=front ', true],
    ['app=api', false],
    ['app!=api', true],
    ['app!=web', false],
    ['missing!=x', true],
    ['missing=x', false],
    ['app in (api, web)', true],
    ['app in (api)', false],
    ['app notin (api,db),tier', true],
    ['missing notin (a)', true],
    ['app notin (web)', false],
    ['tier', true],
    ['!tier', false],
    ['!missing', true],
    ['app.kubernetes.io/name=shop', true],
    ['empty=', true],
    ['empty in (,x)', true],
    ['toString', false],
    ['app=web,c in (d,e),!f', false],
  ];
  for (const [selector, expected] of cases) {
    it(`"${selector}" ${expected ? 'holds' : "doesn't"}`, () => {
      assert.equal(compileSelector(selector)(labels), expected);
    });
  }

  it('an object without labels is one with none', () => {
    assert.equal(compileSelector('!app')(undefined), true);
    assert.equal(compileSelector('app')(undefined), false);
    assert.equal(matchesLabels({ app: 'web' }, undefined), false);
    assert.equal(matchesLabels({}, undefined), true);
  });

  it('what is not understood is quoted, with how to write it', () => {
    for (const wrong of ['app>1', 'app in web', 'a=b,', ',', 'a in (b', '=b', 'a=b c', 'in (a)', 'a in ((b))']) {
      assert.throws(() => compileSelector(wrong), { code: 'DORMOUSE_SELECTOR' }, wrong);
    }
    assert.throws(() => compileSelector('app>1'), /"app>1".*write key=value/);
  });

  it('maps and expressions', () => {
    assert.equal(matchesLabels({ app: 'web', tier: 'front' }, labels), true);
    assert.equal(matchesLabels({ app: 'web', tier: 'back' }, labels), false);
    assert.equal(matchesLabels({ constructor: 'x' }, labels), false);
    assert.equal(selectorText({ app: 'web', tier: 'front' }), 'app=web,tier=front');
    const matcher = compileLabelSelector({
      matchLabels: { app: 'web' },
      matchExpressions: [
        { key: 'tier', operator: 'In', values: ['front'] },
        { key: 'track', operator: 'DoesNotExist' },
        { key: 'app', operator: 'Exists' },
        { key: 'zone', operator: 'NotIn', values: ['a'] },
      ],
    });
    assert.equal(matcher(labels), true);
    assert.equal(matcher({ ...labels, track: 'canary' }), false);
    assert.throws(
      () => compileLabelSelector({ matchExpressions: [{ key: 'a', operator: 'Gt' }] }),
      /"Gt" is no operator/,
    );
  });
});
