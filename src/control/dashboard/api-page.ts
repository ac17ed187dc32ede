/** Shows openapi.json by Swagger UI, which the page loads before this. */

declare const SwaggerUIBundle: (options: {
  readonly url: string;
  readonly domNode: HTMLElement | null;
  readonly validatorUrl: null;
  readonly persistAuthorization: boolean;
  readonly defaultModelsExpandDepth: number;
  readonly requestInterceptor: (request: { headers: Record<string, string> }) => unknown;
}) => unknown;

SwaggerUIBundle({
  url: "/api/v1/openapi.json",
  domNode: document.getElementById("api"),
  validatorUrl: null, // it would ask a server on the Internet
  persistAuthorization: false,
  defaultModelsExpandDepth: 0,
  // What a page must send that uses the session's cookie.
  requestInterceptor(request) {
    request.headers["x-reimage"] = "1";
    return request;
  },
});
