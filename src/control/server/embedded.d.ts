/** Files that the build puts into the executable (`with { type: "file" }`): what is imported is the path to read them at. */
declare module "*.css" {
  const path: string;
  export = path;
}
declare module "*/dashboard.js" {
  const path: string;
  export = path;
}
declare module "*/api-page.js" {
  const path: string;
  export = path;
}
declare module "swagger-ui-dist/swagger-ui-bundle.js" {
  const path: string;
  export = path;
}
