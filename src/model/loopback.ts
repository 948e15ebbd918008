/** Whether only this machine reaches it: 127.0.0.0/8, ::1 and localhost. IPv6 without brackets. */
export function isLoopback(host: string): boolean {
  return host === 'localhost' || host === '::1' || /^(::ffff:)?127(\.\d{1,3}){3}$/.test(host);
}
