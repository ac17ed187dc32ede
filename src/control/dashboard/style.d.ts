/** The bundler takes the styles out of the program (dashboard.css). */
declare module "*.css";
