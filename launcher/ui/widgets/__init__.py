"""Small widgets that pages, side bar and footer are made of. They know the theme and no state of any service."""
