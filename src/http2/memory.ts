import { isForbiddenTrailer } from '../http1/trailer-rules.ts';
import { DecoderScratch } from './hpack-decoder.ts';
import { EncoderScratch } from './hpack-encoder.ts';
import { TrailerText } from './message-text.ts';
import { RequestText } from './request-text.ts';
import { ResponseText } from './response-text.ts';

/** What all HTTP/2 connections of a worker use in turns while they read or write one header block. */
export class Http2Memory {
  readonly decoder = new DecoderScratch();
  readonly encoder = new EncoderScratch();
  readonly request = new RequestText();
  readonly response = new ResponseText();
  readonly trailers = new TrailerText(isForbiddenTrailer);
}
