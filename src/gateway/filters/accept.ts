/** Content negotiation (RFC 9110 section 12.5.1), as far as a gateway needs it. */

/** Whether a client with this Accept takes this media type (lower case, without parameters); without Accept it takes all. */
export function accepts(accept: string | undefined, type: string): boolean {
  if (accept === undefined || accept.trim() === '') return true;
  const slash = type.indexOf('/');
  const range = `${type.slice(0, slash)}/*`;
  // The most specific range decides, whatever the order.
  let specific = -1;
  let taken = false;
  for (const part of accept.split(',')) {
    const [name = '', ...parameters] = part.split(';');
    const given = name.trim().toLowerCase();
    const rank = given === type ? 2 : given === range ? 1 : given === '*/*' ? 0 : -1;
    if (rank <= specific) continue;
    specific = rank;
    taken = !parameters.some((parameter) => /^\s*q\s*=\s*0(?:\.0*)?\s*$/i.test(parameter));
  }
  return taken;
}
