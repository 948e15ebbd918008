import { z } from 'zod';

/** An http or https address that the gateway asks itself, without a name and password: those would stand in logs of others. */
export const webAddress = z
  .string()
  .max(4096)
  .refine((text) => {
    const url = URL.parse(text);
    return (
      url !== null && /^https?:$/.test(url.protocol) && url.username === '' && url.password === '' && url.hash === ''
    );
  }, 'an address such as https://login.example.com/jwks.json, without name, password and fragment');
